"""Every corruption: severity 0 is the identity, a batch changes nothing, any size works, and more is stronger."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from granu import DataError, Streams, quantize
from granu_corruption.corruptions import CORRUPTIONS, corrupt
from granu_corruption.names import BENCHMARK, COLOUR_ONLY, EXTRA, NAMES
from granu_corruption.tables import CIFAR, IMAGENET, SMALL, table_for

IDS = ("a", "b", "c")
NOT_MONOTONE = {"glass-blur", "elastic-transform", "saturate", "spatter"}  # by their published parameters


def photographs(channels: int = 3, size: tuple[int, int] = (32, 32)) -> Tensor:
    """Three images with smooth and fine structure and all values, quantized."""
    draws = Streams(0, IDS).uniform(channels, 4, 6)
    smooth = torch.nn.functional.interpolate(draws, size, mode="bicubic")
    return quantize(smooth + 0.05 * Streams(1, IDS).normal(channels, *size))


def severities(value: float, count: int = 3) -> Tensor:
    return torch.full((count,), value)


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).square().mean().sqrt())


def test_the_benchmark_is_the_papers_fifteen_and_all_have_parameters() -> None:
    assert len(BENCHMARK) == 15 and len(EXTRA) == 4 and set(NAMES) == set(CORRUPTIONS)
    for table in (CIFAR, IMAGENET):
        assert set(table.rows) == set(NAMES)
        for rows in table.rows.values():
            assert len(rows) == 6 and len({len(row) for row in rows}) == 1


def test_published_parameters_stand_at_whole_severities_and_lines_between() -> None:
    assert IMAGENET.at("gaussian-noise", torch.arange(1.0, 6.0)).flatten().tolist() == pytest.approx(
        [0.08, 0.12, 0.18, 0.26, 0.38]
    )
    assert IMAGENET.at("motion-blur", torch.tensor([3.0, 4.5])).tolist() == [[15, 8], [17.5, 13.5]]
    assert (1 / CIFAR.at("shot-noise", torch.arange(1.0, 6.0))).flatten().tolist() == pytest.approx(
        [500, 250, 100, 75, 50]
    )


@pytest.mark.parametrize(("side", "choice", "table"), [
    (32, "auto", CIFAR), (SMALL, "auto", CIFAR), (SMALL + 1, "auto", IMAGENET), (32, "imagenet", IMAGENET),
    (500, "cifar", CIFAR),
])  # fmt: skip
def test_the_table_follows_the_size_unless_chosen(side: int, choice: str, table: object) -> None:
    assert table_for(side, choice) is table


@pytest.mark.parametrize("name", NAMES)
def test_severity_zero_is_the_identity_and_a_little_more_changes_little(name: str) -> None:
    images = photographs()
    assert torch.equal(corrupt(name, images, severities(0), Streams(0, IDS)), images)
    least = 0.2 if name in {"pixelate", "jpeg-compression"} else 0.03  # one block less, and the codec itself
    assert distance(corrupt(name, images, severities(0.02), Streams(0, IDS)), images) < least


@pytest.mark.parametrize("table", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", NAMES)
def test_images_stay_in_range_and_do_not_depend_on_the_batch(name: str, table: str) -> None:
    images, severity = photographs(), torch.tensor([2.0, 3.4, 5.0])
    together = corrupt(name, images, severity, Streams(0, IDS), table)
    assert together.shape == images.shape and together.min() >= 0 and together.max() <= 1
    assert (together - images).abs().flatten(1).amax(dim=1).min() > 1 / 255
    for i, id_ in enumerate(IDS):
        alone = corrupt(name, images[i : i + 1], severity[i : i + 1], Streams(0, [id_]), table)
        assert (alone - together[i : i + 1]).abs().max() < 1e-4
    again = corrupt(name, images, severity, Streams(0, IDS), table)
    assert torch.equal(again, together)


RANDOM = [name for name in NAMES if name not in {
    "defocus-blur", "zoom-blur", "brightness", "contrast", "pixelate", "jpeg-compression", "gaussian-blur", "saturate",
}]  # fmt: skip


@pytest.mark.parametrize("name", RANDOM)
def test_seed_and_image_choose_what_is_random(name: str) -> None:
    images = photographs()[:1].expand(2, -1, -1, -1)
    first = corrupt(name, images, severities(5, 2), Streams(0, ["a", "b"]))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, corrupt(name, images, severities(5, 2), Streams(1, ["a", "b"])))


@pytest.mark.parametrize("table", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_MONOTONE])
def test_a_severer_corruption_is_further_from_the_image(name: str, table: str) -> None:
    images = photographs(size=(48, 48))
    moved = [distance(corrupt(name, images, severities(s), Streams(0, IDS), table), images) for s in range(6)]
    slack = 0.02 if name in {"fog", "frost", "snow", "pixelate"} else 1e-4
    assert all(more >= less - slack for less, more in pairwise(moved)), moved
    assert moved[5] > moved[1]


@pytest.mark.parametrize("size", [(20, 50), (61, 33), (8, 8)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_any_aspect_ratio_grey_or_colour(name: str, channels: int, size: tuple[int, int]) -> None:
    images = photographs(channels, size)
    if channels == 1 and name in COLOUR_ONLY:
        with pytest.raises(DataError, match=f"corruption:{name} changes colours, and these images are grey"):
            corrupt(name, images, severities(3), Streams(0, IDS))
        return
    corrupted = corrupt(name, images, severities(5), Streams(0, IDS))
    assert corrupted.shape == images.shape and corrupted.isfinite().all()


def test_lengths_grow_with_the_image() -> None:
    """A corruption of a larger image looks like that of the image before it was enlarged."""
    small = photographs(size=(80, 80))
    large = torch.nn.functional.interpolate(small, scale_factor=3, mode="bicubic").clamp(0, 1)
    for name in ("defocus-blur", "gaussian-blur", "motion-blur", "zoom-blur"):
        one = corrupt(name, small, severities(4), Streams(0, IDS))
        other = corrupt(name, large, severities(4), Streams(0, IDS))
        shrunk = torch.nn.functional.interpolate(other, (80, 80), mode="bicubic", antialias=True)
        assert distance(shrunk, one) < 0.25 * distance(one, small), name
