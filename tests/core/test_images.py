"""Rounding, distances, and the clamp that searches descend through."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from granu.images.ops import clamp_for_descent, decode_png, distances, encode_png, pad_to, quantize, ssim


def test_a_png_holds_exactly_the_quantized_image() -> None:
    for channels in (1, 3):
        image = quantize(torch.rand(channels, 9, 7, generator=torch.Generator().manual_seed(channels)))
        assert torch.equal(decode_png(encode_png(image)), image)


def test_quantizing_is_idempotent_and_stays_in_range() -> None:
    once = quantize(torch.linspace(-1, 2, 300))
    assert torch.equal(quantize(once), once) and once.min() == 0 and once.max() == 1


def test_a_descent_step_can_bring_a_pixel_back_but_not_further_out() -> None:
    outside = torch.tensor([-0.1, -0.1, 1.1, 1.1, 0.5], requires_grad=True)
    (clamp_for_descent(outside) * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])).sum().backward()
    assert outside.grad is not None and outside.grad.tolist() == [0.0, -1.0, 1.0, 0.0, 1.0]


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


def test_digits_are_padded_to_the_middle() -> None:
    padded = pad_to(torch.ones(1, 1, 28, 28), 32, 32)
    assert padded.shape[-2:] == (32, 32) and padded[0, 0, 2:30, 2:30].all() and padded.sum() == 28 * 28
