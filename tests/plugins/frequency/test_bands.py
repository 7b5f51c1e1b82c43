"""Bands are orthogonal projections, and at the paper's sizes they are the paper's windows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from granu_frequency.bands import all_bands, make_band
from granu_frequency.windows import COUNT, nth_start, starts_of, width_of

SHAPES = ("window", "ring", "low", "high")


@pytest.mark.parametrize(("side", "width", "count", "step"), [(28, 8, 21, 1), (32, 8, 13, 2), (224, 16, 14, 16)])
def test_windows_of_the_paper(side: int, width: int, count: int, step: int) -> None:
    assert width_of(side) == width
    assert starts_of(side) == list(range(0, count * step, step))
    assert [nth_start(side, number, count) for number in range(count)] == starts_of(side)


@pytest.mark.parametrize("side", [8, 28, 31, 32, 64, 96, 224, 299])
def test_a_sweep_goes_from_the_lowest_to_the_highest(side: int) -> None:
    sweep = [nth_start(side, number) for number in range(COUNT)]
    assert set(sweep) <= set(starts_of(side))
    for count in (2, COUNT, 50):
        sweep = [nth_start(side, number, count) for number in range(count)]
        assert sweep == sorted(sweep) and sweep[0] == 0 and sweep[-1] + width_of(side) == side


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(28, 28), (12, 20)])
def test_projecting_twice_is_projecting_once(shape: str, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    for band in all_bands(size, shape):
        once = band.project(x)
        torch.testing.assert_close(band.project(once), once, atol=1e-4, rtol=0)
        torch.testing.assert_close(band.spectrum(x).flatten(1).norm(dim=1), once.flatten(1).norm(dim=1))
        assert abs(float(((x - once) * once).sum())) < 1e-2


def test_a_window_holds_what_scipys_transform_says() -> None:
    x = torch.randn(32, 32, dtype=torch.float64)
    spectrum = np.zeros((32, 32))
    spectrum[4:12, 4:12] = scipy.fft.dctn(x.numpy(), norm="ortho")[4:12, 4:12]
    band = make_band("window", (4, 4), (8, 8), (32, 32)).to(x)
    torch.testing.assert_close(
        band.project(x), torch.from_numpy(scipy.fft.idctn(spectrum, norm="ortho")), atol=1e-5, rtol=0
    )


def test_low_and_high_together_are_the_whole_image() -> None:
    x = torch.randn(1, 16, 16)
    low = make_band("low", (0, 0), (5, 5), (16, 16))
    high = make_band("high", (5, 5), (1, 1), (16, 16))
    torch.testing.assert_close(low.project(x) + high.project(x), x, atol=1e-5, rtol=0)


def test_rings_of_width_w_do_not_overlap() -> None:
    rings = [make_band("ring", (s, s), (4, 4), (16, 16)).inside for s in range(0, 16, 4)]
    assert torch.stack(rings).sum(0).max() == 1
