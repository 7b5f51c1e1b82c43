"""The perturbation `recolor`: CIELUV, shifts on a lattice of colours, and curves of grey values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from granu import Batch, Streams
from granu.testing import contracts, tiny
from granu_smooth import luv
from granu_smooth.recolor import ColourSpace, GreySpace, Recolor


def batch_of(images: Tensor) -> Batch:
    return Batch(images, torch.zeros(len(images), dtype=torch.int64), tuple(map(str, range(len(images)))))


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


def first_values(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :3]


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 9, 14), (2, 2, 3, 1)])
def test_the_space_keeps_the_contract_in_grey_and_colour(shape: tuple[int, ...]) -> None:
    contracts.check_space_factory(Recolor(8), first_values, batch_of(noise(*shape)))  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3])
def test_no_change_is_the_image_bit_by_bit(channels: int) -> None:
    space = Recolor(8).open(tiny.tiny_linear_classifier(), batch_of(noise(2, channels, 8, 9)), Streams(0, ("0", "1")))
    assert torch.equal(space.images(space.start()), space.clean)


def test_cieluv_is_that_of_the_standard_colours() -> None:
    """L, u and v of sRGB's red, green, blue, white and mid-grey under D65, as commonly tabulated."""
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0.5, 0.5, 0.5], [0, 0, 0]])
    expected = torch.tensor(
        [
            [53.24, 175.01, 37.76],
            [87.73, -83.08, 107.40],
            [32.30, -9.40, -130.34],
            [100, 0, 0],
            [53.39, 0, 0],
            [0, 0, 0],
        ]
    )
    scaled = luv.from_rgb(colours.T[None, :, :, None])[0, :, :, 0].T
    got = torch.stack((scaled[:, 0] * 100, scaled[:, 1] * 200 - 100, scaled[:, 2] * 200 - 100), dim=1)
    torch.testing.assert_close(got, expected, atol=0.1, rtol=0)


def test_cieluv_and_back_is_the_same_colour() -> None:
    images = torch.cat([noise(2, 3, 16, 16), torch.zeros(2, 3, 1, 16), torch.ones(2, 3, 1, 16)], dim=2)
    torch.testing.assert_close(luv.to_rgb(luv.from_rgb(images)), images, atol=2e-4, rtol=0)


def test_equal_colours_are_changed_equally_wherever_they_are() -> None:
    clean = noise(1, 3, 6, 6)
    clean[..., 5, 5] = clean[..., 0, 0]
    space = ColourSpace(first_values, clean, 8)
    changed = space.images(space.draw(torch.tensor([0.1]), Streams(0, ("a",))))
    assert torch.equal(changed[..., 5, 5], changed[..., 0, 0])
    assert not torch.allclose(changed, clean, atol=0.02)


def test_a_size_is_a_share_of_the_range_of_the_shifted_colour() -> None:
    clean = 0.3 + 0.4 * noise(1, 3, 8, 8)
    space = ColourSpace(first_values, clean, 4)
    for axis in range(3):
        change = torch.zeros(1, *space.shape)
        change[:, axis] = 0.03
        moved = luv.from_rgb(space.images(change.flatten(1))) - luv.from_rgb(clean)
        expected = torch.zeros_like(moved)
        expected[:, axis] = 0.03
        torch.testing.assert_close(moved, expected, atol=1e-3, rtol=0)


def test_the_lattice_is_read_at_the_colour_of_each_pixel() -> None:
    """A shift at the darkest points alone reaches dark pixels and no bright ones."""
    clean = torch.full((1, 3, 1, 2), 0.05)
    clean[..., 1] = 0.9
    space = ColourSpace(first_values, clean, 4)
    change = torch.zeros(1, *space.shape)
    change[:, 0, 0] = 0.1  # of L, at the points with the least L
    changed = space.images(change.flatten(1))
    assert (changed[..., 0] > clean[..., 0] + 0.02).all() and torch.equal(changed[..., 1], clean[..., 1])


def test_grey_values_are_shifted_by_a_curve() -> None:
    clean = torch.tensor([0.0, 0.25, 0.5, 1.0]).view(1, 1, 2, 2)
    space = GreySpace(first_values, clean, 3)  # points at 0, 0.5 and 1
    changed = space.images(torch.tensor([[0.1, -0.1, 0.3]]))
    torch.testing.assert_close(changed.flatten(), torch.tensor([0.1, 0.25, 0.4, 1.0]))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_is_that_of_small_differences(channels: int) -> None:
    clean = (0.2 + 0.6 * noise(1, channels, 4, 4)).double()
    space = Recolor(3).open(tiny.tiny_linear_classifier(), batch_of(clean), Streams(0, ("0",)))
    weights = torch.linspace(-1, 1, clean.numel(), dtype=torch.float64).view_as(clean)
    change = 0.02 * torch.rand(1, space.dimension, generator=torch.Generator().manual_seed(0)).double()
    assert torch.autograd.gradcheck(lambda c: (weights * space.images(c)).sum(), change.requires_grad_(), atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_search_comes_back_from_below_black(channels: int) -> None:
    clean = torch.zeros(1, channels, 2, 2)
    space = Recolor(8).open(tiny.tiny_linear_classifier(), batch_of(clean), Streams(0, ("0",)))
    darker = torch.full((1, space.dimension), -0.05).requires_grad_()
    changed = space.images(darker)
    assert torch.equal(changed, clean)
    (gradient,) = torch.autograd.grad(-changed.sum(), darker)  # descent brightens
    assert gradient.any()


def test_black_and_white_have_a_usable_gradient() -> None:
    clean = torch.zeros(1, 3, 2, 2)
    clean[..., 0] = 1.0
    space = ColourSpace(first_values, clean, 8)
    change = space.start().requires_grad_()
    (gradient,) = torch.autograd.grad(-space.images(change)[..., 1].sum(), change)  # descent brightens black
    assert gradient.isfinite().all() and gradient.any()
    (gradient,) = torch.autograd.grad(space.images(change)[..., 0].sum(), change)
    assert gradient.isfinite().all() and gradient.any()
