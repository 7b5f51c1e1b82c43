"""Quantization, distances, PNG files, and the gradient of the clamp."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from granu.images.ops import (
    clamp_for_descent,
    decode_png,
    distances,
    encode_png,
    fit_channels,
    pad_to,
    quantize,
    resize,
    ssim,
)


def test_a_png_stores_quantized_images_exactly() -> None:
    for channels in (1, 3):
        image = quantize(torch.rand(channels, 9, 7, generator=torch.Generator().manual_seed(channels)))
        assert torch.equal(decode_png(encode_png(image)), image)


def test_quantize_is_idempotent_and_stays_in_range() -> None:
    once = quantize(torch.linspace(-1, 2, 300))
    assert torch.equal(quantize(once), once) and once.min() == 0 and once.max() == 1


def test_the_gradient_of_the_clamp_brings_pixels_back_and_not_further_out() -> None:
    outside = torch.tensor([-0.1, -0.1, 1.1, 1.1, 0.5, 1.1], requires_grad=True)
    (clamp_for_descent(outside) * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 0.5])).sum().backward()
    assert outside.grad is not None and outside.grad.tolist() == [0.0, -1.0, 1.0, 0.0, 1.0, 0.5]


def test_ssim_is_one_for_the_same_and_less_for_others() -> None:
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ssim(image, image), torch.ones(2), atol=1e-5)
    blurred = F.avg_pool2d(image, 3, stride=1, padding=1)
    assert (ssim(image, blurred) < 0.9).all() and (ssim(image, 1 - image) < 0).all()


def test_distances_are_those_of_vectors() -> None:
    clean = torch.zeros(1, 1, 16, 16)
    changed = clean.clone()
    changed[0, 0, 0, :2] = torch.tensor([0.6, 0.8])
    seen = distances(clean, changed)
    assert torch.isclose(seen["l2"], torch.tensor(1.0)) and torch.isclose(seen["linf"], torch.tensor(0.8))


def test_a_pixel_counts_once_and_a_feature_for_each_channel() -> None:
    clean = torch.zeros(2, 3, 16, 16)
    changed = clean.clone()
    changed[0, :2, 0, 0] = changed[0, 1, 5, 5] = 1
    seen = distances(clean, changed)
    assert seen["pixels"].tolist() == [2, 0] and seen["features"].tolist() == [3, 0]


def test_padding_is_symmetric() -> None:
    padded = pad_to(torch.ones(1, 1, 28, 28), 32, 32)
    assert padded.shape[-2:] == (32, 32) and padded[0, 0, 2:30, 2:30].all() and padded.sum() == 28 * 28


def test_clamping_for_descent_gives_the_clamped_image() -> None:
    assert clamp_for_descent(torch.tensor([-0.5, 0.0, 0.3, 1.0, 1.5])).tolist() == pytest.approx([0, 0, 0.3, 1, 1])


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_a_gradient_passes_at_the_edge_of_the_range(edge: float) -> None:
    for direction in (1.0, -1.0):
        image = torch.tensor([edge], requires_grad=True)
        (clamp_for_descent(image) * direction).sum().backward()
        assert image.grad is not None and image.grad.item() == direction


def test_grey_is_repeated_to_colour_and_colour_averaged_to_grey() -> None:
    grey = torch.rand(2, 1, 4, 5)
    assert torch.equal(fit_channels(grey, 3), torch.cat([grey, grey, grey], dim=1))
    colour = torch.rand(2, 3, 1, 5)
    assert torch.equal(fit_channels(colour, 1), colour.mean(dim=1)[:, None])
    assert fit_channels(colour, 3) is colour and fit_channels(grey, 1) is grey


def test_padding_puts_an_odd_row_below_and_an_odd_column_to_the_right() -> None:
    padded = pad_to(torch.ones(1, 2, 2, 3), 5, 8)
    assert padded.shape == (1, 2, 5, 8) and padded[0, :, 1:3, 2:5].all() and padded.sum() == 12


def test_resizing_is_bicubic_with_antialiasing_unless_another_mode_is_named() -> None:
    image = torch.rand(1, 1, 16, 12, generator=torch.Generator().manual_seed(0))
    for mode in ("bicubic", "bilinear"):
        expected = F.interpolate(image, (5, 7), mode=mode, align_corners=False, antialias=True)
        assert torch.equal(resize(image, 5, 7, mode), expected)
    assert torch.equal(resize(image, 5, 7), resize(image, 5, 7, "bicubic"))
    ones = resize(torch.ones(1, 1, 2, 2), 4, 4, "bilinear")
    assert torch.allclose(ones, torch.ones(1, 1, 4, 4))


def test_each_image_has_its_own_distances() -> None:
    clean = torch.full((3, 1, 16, 16), 0.5)
    changed = clean.clone()
    changed[1, 0, 0, 0] = 0.25
    changed[2] = 1
    seen = distances(clean, changed)
    assert list(seen) == ["l2", "linf", "ssim", "pixels", "features"]
    assert torch.allclose(seen["l2"], torch.tensor([0.0, 0.25, 8.0]))
    assert torch.allclose(seen["linf"], torch.tensor([0.0, 0.25, 0.5]))
    assert torch.equal(seen["ssim"], ssim(clean, changed)) and seen["ssim"][0] == 1
    assert seen["pixels"].tolist() == [0, 1, 256]


def reference_ssim(a: Tensor, b: Tensor, side: int) -> float:
    """SSIM of Wang et al. 2004, equations 13 to 17, of one channel, window by window in float64."""
    a, b = a.double(), b.double()
    position = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    line = torch.exp(-(position**2) / 4.5)
    window = torch.outer(line, line)
    window = window / window.sum()
    values = []
    for top in range(a.shape[0] - side + 1):
        for left in range(a.shape[1] - side + 1):
            x, y = (image[top : top + side, left : left + side] for image in (a, b))
            mean_x, mean_y = (window * x).sum(), (window * y).sum()
            var_x, var_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
            covariance = (window * (x - mean_x) * (y - mean_y)).sum()
            luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
            values.append(float(luminance * (2 * covariance + 9e-4) / (var_x + var_y + 9e-4)))
    return sum(values) / len(values)


@pytest.mark.parametrize(("shape", "side"), [((16, 14), 11), ((12, 7), 7), ((6, 13), 6)])
@pytest.mark.parametrize("contrast", [1.0, 0.05])
def test_ssim_is_that_of_the_paper_with_a_smaller_window_for_small_images(
    shape: tuple[int, int], side: int, contrast: float
) -> None:
    noise = torch.Generator().manual_seed(1)
    images = torch.rand(4, 2, *shape, generator=noise) * contrast
    a, b = images[:2], images[2:]
    expected = [sum(reference_ssim(a[i, c], b[i, c], side) for c in range(2)) / 2 for i in range(2)]
    assert ssim(a, b).tolist() == pytest.approx(expected, abs=2e-4)
    assert ssim(a.double(), b.double()).tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_clamps_what_is_outside_the_range(channels: int) -> None:
    image = torch.tensor([-0.5, 0.0, 0.5, 1.0, 1.5]).expand(channels, 2, 5)
    assert decode_png(encode_png(image.requires_grad_()))[0, 0].tolist() == pytest.approx([0, 0, 128 / 255, 1, 1])
    assert encode_png(image).startswith(b"\x89PNG")
