"""PRIME's primitives: what they do to single images, and that they do it to each image alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from granu import Streams
from granu_prime.colour import Colour
from granu_prime.mixing import Mixture, Primitive
from granu_prime.sines import sine_series, sine_sum
from granu_prime.spatial import Spatial, deformed, mode_counts, variances
from granu_prime.spectral import Spectral, filtered, identity_kernel

BAND = Colour(500, 0.05, 20)
PRIMITIVES: dict[str, Primitive] = {
    "spectral": Spectral(),
    "spectral5": Spectral(5, 1.0, legacy_offset=True),
    "colour": Colour(),
    "band": BAND,
    "spatial": Spatial(),
    "spatial500": Spatial(500),
    "mixture": Mixture((Spectral(), Colour(), Spatial())),
}
SHAPES = ((5, 3, 16, 16), (4, 1, 12, 12), (3, 3, 9, 20), (3, 3, 21, 8), (2, 4, 3, 3), (2, 3, 2, 5), (2, 1, 1, 1))


def streams(count: int, seed: int = 0) -> Streams:
    return Streams(seed, [f"image {i}" for i in range(count)])


def photographs(shape: tuple[int, ...] = (5, 3, 16, 16)) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PRIMITIVES)
def test_images_keep_their_shape_and_range(name: str, shape: tuple[int, ...]) -> None:
    images = photographs(shape)
    changed = PRIMITIVES[name](images, streams(len(images)))
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert changed.isfinite().all() and changed.min() >= 0 and changed.max() <= 1


@pytest.mark.parametrize("primitive", [Spectral(strength=0), Colour(strength=0), Spatial(strength=0)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_at_strength_zero_nothing_changes(primitive: Primitive, shape: tuple[int, ...]) -> None:
    images = photographs(shape)
    torch.testing.assert_close(primitive(images, streams(len(images))), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "weak",
    [lambda s: Spectral(sigma=0.1, strength=s), lambda s: Colour(5, 1e-4, strength=s), lambda s: Spatial(6, s)],
    ids=["spectral", "colour", "spatial"],
)
def test_strength_scales_the_change(weak: Callable[[float], Primitive]) -> None:
    ramp = torch.linspace(0.4, 0.6, 24).expand(3, 1, 24, 24)
    full, half = (weak(s)(ramp, streams(3)) - ramp for s in (0.5, 0.25))
    inside = (..., slice(4, -4), slice(4, -4))  # filters see zeros beyond the border, which clamps
    assert full[inside].abs().max() > 1e-4
    torch.testing.assert_close(half[inside], full[inside] / 2, rtol=0.05, atol=5e-4)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_an_image_and_its_seed_give_the_same_in_any_batch(name: str) -> None:
    images, everything = photographs((6, 3, 14, 17)), streams(6)
    together = PRIMITIVES[name](images, everything)
    assert not torch.equal(together, PRIMITIVES[name](images, streams(6, seed=1)))
    order = [4, 2, 5]
    ids = [f"image {i}" for i in order]
    torch.testing.assert_close(PRIMITIVES[name](images[order], Streams(0, ids)), together[order], rtol=0, atol=2e-5)
    for i in range(6):
        alone = PRIMITIVES[name](images[i : i + 1], Streams(0, [f"image {i}"]))
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_equal_images_are_changed_differently(name: str) -> None:
    image = photographs((1, 3, 16, 16)).expand(12, -1, -1, -1)
    changed = PRIMITIVES[name](image, streams(12)).flatten(1)
    assert len({tuple(row.tolist()) for row in changed}) >= 11  # a mixture may draw nothing but invisible changes


@pytest.mark.parametrize("name", PRIMITIVES)
def test_half_precision_and_eight_bits_come_back_as_they_were(name: str) -> None:
    images = (photographs() * 255).round()
    exact = PRIMITIVES[name](images / 255, streams(5))
    eight = PRIMITIVES[name](images.to(torch.uint8), streams(5))
    assert eight.dtype == torch.uint8 and torch.equal(eight, (exact * 255).round().to(torch.uint8))
    half = (images / 255).bfloat16()
    changed = PRIMITIVES[name](half, streams(5))
    assert changed.dtype == torch.bfloat16
    assert torch.equal(changed, PRIMITIVES[name](half.float(), streams(5)).bfloat16())


@pytest.mark.parametrize("name", PRIMITIVES)
def test_autocast_does_not_lower_the_precision(name: str) -> None:
    images = photographs()
    with torch.autocast("cpu", torch.bfloat16):
        inside = PRIMITIVES[name](images, streams(5))
    assert torch.equal(inside, PRIMITIVES[name](images, streams(5)))


def test_the_identity_is_at_the_centre_unless_the_published_offset_is_asked_for() -> None:
    images = photographs()
    for side in (3, 5):
        centred = filtered(images, identity_kernel(side).expand(5, -1, -1))
        assert torch.equal(centred, images)
        shifted = filtered(images, identity_kernel(side, legacy_offset=True).expand(5, -1, -1))
        assert torch.equal(shifted[..., :-1, :-1], images[..., 1:, 1:]) and not shifted[..., -1, :].any()
    assert torch.equal(Spectral(strength=0, legacy_offset=True)(images, streams(5))[..., :-1, :-1], images[..., 1:, 1:])


def test_a_filter_is_a_convolution_of_every_channel() -> None:
    images, kernels = photographs((4, 3, 7, 10)), torch.randn(4, 5, 5)
    for image, kernel, result in zip(images, kernels, filtered(images, kernels), strict=True):
        expected = torch.nn.functional.conv2d(image[:, None], kernel[None, None], padding=2)[:, 0]
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("longest", [1, 7, 100])
def test_the_recurrence_sums_sines(longest: int) -> None:
    torch.manual_seed(longest)
    rows = 9
    points, coefficients = torch.rand(rows, 50), torch.randn(rows, longest)
    first, lengths = torch.randint(1, 500, (rows,)), torch.randint(0, longest + 1, (rows,))
    first[0], lengths[1] = 1, longest
    k = first[:, None] + torch.arange(longest)
    used = torch.arange(longest) < lengths[:, None]
    sines = torch.sin(torch.pi * k[:, None] * points.double()[..., None])
    expected = torch.einsum("rj,rnj->rn", coefficients.double() * used, sines).float()
    torch.testing.assert_close(sine_sum(points, coefficients, first, lengths), expected, rtol=0, atol=0.03)


def test_the_gradient_of_a_sine_series_is_its_transpose() -> None:
    points = torch.rand(3, 40)
    coefficients = torch.randn(3, 12, requires_grad=True)
    values = torch.randn(3, 40)
    (sine_series(points, coefficients) * values).sum().backward()
    sines = torch.sin(torch.pi * torch.arange(1, 13) * points[..., None])
    torch.testing.assert_close(coefficients.grad, torch.einsum("rn,rnk->rk", values, sines), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("colour", [Colour(), BAND], ids=["cifar", "band"])
def test_a_colour_map_depends_on_the_value_alone_and_keeps_black(colour: Colour) -> None:
    image = (photographs((1, 1, 40, 40)) * 8).floor() / 8
    image[0, 0, 0, 0] = 0
    changed = colour(image, streams(1))
    for value in image.unique():
        mapped = changed[image == value]
        assert mapped.max() - mapped.min() < 1e-5
    assert changed[0, 0, 0, 0] == 0


def test_a_band_ends_at_the_highest_frequency() -> None:
    # at x = 1/2 every even frequency vanishes, so a band of frequency 2 alone would leave the value
    half = torch.full((300, 1, 1, 1), 0.5)
    lone = Colour(1, 0.05, band=20)(half, streams(300)) - 0.5  # highest 1, so nothing but frequency 1
    many = Colour(1, 0.05, band=1)(half, streams(300)) - 0.5
    assert abs(lone.std() / many.std() - 1) < 0.15 and lone.std() > 0.05


def test_a_deformation_moves_pixels_by_the_sum_of_sines() -> None:
    H, W = 9, 13
    amplitudes = torch.zeros(1, 2, *mode_counts((H, W)))
    amplitudes[0, 0, 1, 2] = 0.3 / H  # x by 0.3 pixels times sin(2 pi y) sin(3 pi x)
    y, x = torch.meshgrid(torch.linspace(0, 1, H), torch.linspace(0, 1, W), indexing="ij")
    ramp = x.expand(1, 1, H, W)
    moved = ramp - 0.3 * torch.sin(2 * torch.pi * y) * torch.sin(3 * torch.pi * x) / (W - 1)
    torch.testing.assert_close(deformed(ramp, amplitudes)[0, 0], moved[0, 0].clamp(0, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("cut", [2.0, 5.0, 40.0])
def test_sines_beyond_the_pixels_resolution_keep_their_variance(cut: float) -> None:
    n = 8
    i = torch.arange(1, int(cut) + 1).double()
    r = (i[:, None].square() + i.square()).sqrt()
    sines = torch.sin(torch.pi * torch.linspace(0, 1, n, dtype=torch.float64)[:, None] * i)
    published = torch.einsum("ij,yi,xj->yx", (r < cut + 0.5) / r.square(), sines.square(), sines.square())
    p = torch.arange(1, n - 1).double()
    slow = torch.sin(torch.pi * torch.linspace(0, 1, n, dtype=torch.float64)[:, None] * p).square()
    ours = slow @ variances((n, n), torch.tensor([cut]))[0].double() @ slow.T
    torch.testing.assert_close(ours, published, rtol=1e-4, atol=1e-9)


def test_an_image_of_another_shape_is_deformed_as_a_square_is() -> None:
    def displacement(H: int, W: int) -> float:
        """Standard deviation of the displacement along x in the middle of an image, in pixels."""
        ramp = torch.linspace(0, 1, W).expand(600, 1, H, W)
        moved = (Spatial(12)(ramp, streams(600)) - ramp)[..., H // 2, W // 2] * (W - 1)
        return float(moved.std())

    square = displacement(17, 17)
    assert abs(displacement(17, 41) / square - 1) < 0.15
    assert abs(displacement(41, 17) / square - 1) < 0.15
