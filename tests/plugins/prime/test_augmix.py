"""The operations of AugMix do what Pillow does."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from granu import Streams
from granu_prime.augmix import (
    AutoContrast,
    Equalize,
    Geometric,
    Posterize,
    Solarize,
    affine,
    matrices,
    operations,
)
from granu_prime.mixing import Primitive


def photograph(height: int = 24, width: int = 31) -> Tensor:
    """A smooth colour image with 8-bit values, (1, 3, height, width)."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    image = torch.stack([0.2 + 0.5 * x * y, 0.4 + 0.3 * torch.sin(7 * x + 3 * y), (y - 0.3).abs()])[None]
    return (image * 255).round() / 255


def as_pillow(image: Tensor) -> Image.Image:
    return Image.fromarray((image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


def as_tensor(image: Image.Image) -> Tensor:
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return data.view(image.height, image.width, 3).permute(2, 0, 1)[None].float() / 255


def streams(count: int = 1) -> Streams:
    return Streams(0, [str(i) for i in range(count)])


@pytest.mark.parametrize(
    ("operation", "pillow", "tolerance"),
    [(AutoContrast(), ImageOps.autocontrast, 1.01), (Equalize(), ImageOps.equalize, 0.01)],
    ids=["autocontrast", "equalize"],
)
def test_histograms_become_those_of_pillow(
    operation: Primitive, pillow: Callable[[Image.Image], Image.Image], tolerance: float
) -> None:
    image = photograph()
    expected = as_tensor(pillow(as_pillow(image)))
    assert (operation(image, streams()) - expected).abs().max() <= tolerance / 255
    assert (expected - image).abs().max() > 0.1


def test_constant_images_keep_their_histogram() -> None:
    image = torch.full((2, 3, 8, 8), 0.4)
    assert torch.equal(AutoContrast()(image, streams(2)), image)
    torch.testing.assert_close(Equalize()(image, streams(2)), image)


def test_posterize_and_solarize_are_pillows_at_some_level() -> None:
    image, count = (torch.arange(256) / 255).view(1, 1, 16, 16).expand(1, 3, -1, -1), 40
    many = image.expand(count, -1, -1, -1)
    levels = 0.1 + 2.9 * streams(count).uniform()
    for level, posterized, solarized in zip(
        levels.tolist(), Posterize(3.0)(many, streams(count)), Solarize(3.0)(many, streams(count)), strict=True
    ):
        bits, threshold = 4 - int(level * 4 / 10), 256 - int(level * 256 / 10)
        torch.testing.assert_close(posterized, as_tensor(ImageOps.posterize(as_pillow(image), bits))[0])
        torch.testing.assert_close(solarized, as_tensor(ImageOps.solarize(as_pillow(image), threshold))[0])


@pytest.mark.parametrize(
    ("name", "amount", "transform"),
    [
        ("translate-x", 0.2, (1, 0, 6, 0, 1, 0)),
        ("translate-y", -0.2, (1, 0, 0, 0, 1, -4)),
        ("shear-x", 0.2, (1, 0.2, 0, 0, 1, 0)),
        ("shear-y", -0.1, (1, 0, 0, -0.1, 1, 0)),
    ],
)
def test_shears_and_translations_are_those_of_pillow(name: str, amount: float, transform: tuple[float, ...]) -> None:
    image = photograph()
    size = (image.shape[-2], image.shape[-1])
    ours = affine(image, *matrices(name, torch.tensor([amount]), size))
    expected = as_tensor(
        as_pillow(image).transform((size[1], size[0]), Image.Transform.AFFINE, transform, Image.Resampling.BILINEAR)
    )
    difference = (ours - expected).abs()
    assert difference.median() < 0.006  # Pillow samples half a pixel differently where it shears
    both = (ours.amin(dim=1) > 0) & (expected.amin(dim=1) > 0)
    assert difference.amax(dim=1)[both].quantile(0.95) < 0.03


def test_a_rotation_is_pillows() -> None:
    image = photograph(25, 25)
    for degrees in (17.0, -8.9):
        ours = affine(image, *matrices("rotate", torch.tensor([degrees]), (25, 25)))
        rotated = as_pillow(image).rotate(-math.trunc(degrees), Image.Resampling.BILINEAR)
        other = as_pillow(image).rotate(math.trunc(degrees), Image.Resampling.BILINEAR)
        inside = (..., slice(6, -6), slice(6, -6))
        nearest = min((ours - as_tensor(one))[inside].abs().max() for one in (rotated, other))
        assert nearest < 0.02


def test_a_quarter_turn_is_exact() -> None:
    image = photograph(24, 24)
    turned = affine(image, *matrices("rotate", torch.tensor([90.9]), (24, 24)))
    nearest = min((turned - torch.rot90(image, k, (2, 3))).abs().max() for k in (1, 3))
    assert nearest < 1e-4


def test_every_operation_keeps_shape_range_and_the_other_images_out() -> None:
    images = torch.rand(5, 3, 12, 17, generator=torch.Generator().manual_seed(0))
    assert len(operations(3.0)) == 9
    for operation in operations(3.0):
        changed = operation(images, streams(5))
        assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1
        torch.testing.assert_close(operation(images[2:3], Streams(0, ["2"])), changed[2:3], rtol=0, atol=1e-5)


def test_amounts_have_both_signs_and_grow_with_the_severity() -> None:
    ramp = torch.linspace(0, 1, 33).expand(200, 1, 9, 33)
    for severity in (3.0, 10.0):
        moved = Geometric("translate-x", severity)(ramp, streams(200))[:, 0, 4, 16] - 0.5
        assert moved.max() > 0 > moved.min()
        assert abs(moved.abs().max() * 32 - 33 / 3 * severity / 10) <= 1.5
