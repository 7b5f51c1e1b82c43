"""The parts of corruptions against what they are by definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from granu import Streams, gaussian_blur
from granu_corruption.blur import _displaced, _one_after_another
from granu_corruption.corruptions import corrupt
from granu_corruption.digital import _affine, _blocks, _linear
from granu_corruption.filters import convolve, disc, line, zoom
from granu_corruption.noise import EXACT, poisson
from granu_corruption.plasma import plasma

ONE = torch.ones(1)


def flat(value: float, side: int = 64, channels: int = 3) -> torch.Tensor:
    return torch.full((1, channels, side, side), round(value * 255) / 255)


@pytest.mark.parametrize(("severity", "deviation"), [(1.0, 0.08), (5.0, 0.38), (2.5, 0.15)])
def test_gaussian_noise_has_the_published_deviation(severity: float, deviation: float) -> None:
    noise = torch.distributions.Normal(0.0, 1.0)
    moved = corrupt("gaussian-noise", flat(0.5, 128), severity * ONE, Streams(0, "a"), "imagenet") - flat(0.5, 128)
    inside = moved.abs() < 0.4  # the rest is clipped
    share = 1 - 2 * float(noise.cdf(torch.tensor(-0.4 / deviation)))
    assert float(inside.float().mean()) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("photons", [3.0, 60.0, 500.0, 4 * EXACT])
@pytest.mark.parametrize("value", [0.0, 0.02, 0.5, 1.0])
def test_photons_are_the_quantiles_of_a_poisson_distribution(photons: float, value: float) -> None:
    images = flat(value)
    u = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    mean = float(images[0, 0, 0, 0]) * photons
    exact = scipy.stats.poisson.ppf(u.double().numpy(), mean).clip(0)
    allowed = 0 if photons <= EXACT else 1
    assert np.abs(poisson(images, u, photons).numpy() - exact).max() <= allowed


def test_values_do_not_mix_in_the_table_of_photons() -> None:
    images = torch.arange(256.0).view(1, 1, 16, 16) / 255
    for u in (0.0, 0.3, 1 - 2**-24):
        exact = scipy.stats.poisson.ppf(u, images.double().numpy() * 12).clip(0)
        assert np.abs(poisson(images, torch.full_like(images, u), 12.0).numpy() - exact).max() <= (0 if u < 0.9 else 1)


def test_impulse_noise_sets_a_share_of_values_half_of_them_black() -> None:
    corrupted = corrupt("impulse-noise", flat(0.5, 128), 5 * ONE, Streams(0, "a"), "imagenet")
    black, white = float((corrupted == 0).float().mean()), float((corrupted == 1).float().mean())
    assert black == pytest.approx(0.135, abs=0.01) and white == pytest.approx(0.135, abs=0.01)


def test_the_same_noise_grows_with_severity() -> None:
    one, two = (corrupt("gaussian-noise", flat(0.5), s * ONE, Streams(0, "a"), "cifar") - 0.5 for s in (1.0, 2.0))
    assert torch.allclose(1.5 * (one - one.mean()), two - two.mean(), atol=1e-4)


@pytest.mark.parametrize("sigma", [0.6, 1.5, 6.0])
def test_blur_is_that_of_scipy_with_reflected_edges(sigma: float) -> None:
    images = torch.rand(1, 1, 20, 33, generator=torch.Generator().manual_seed(0)).double()
    exact = scipy.ndimage.gaussian_filter(images[0, 0].numpy(), sigma, mode="reflect", truncate=8)
    blurred = gaussian_blur(images, torch.tensor([sigma], dtype=torch.float64))[0, 0].numpy()
    assert np.abs(blurred - exact).max() < (
        0.05 if sigma < 1 else 1e-3
    )  # scipy samples the Gaussian, coarsely if it is narrow


def test_blur_of_no_width_is_the_identity_and_has_a_gradient() -> None:
    images = torch.rand(2, 3, 9, 8)
    torch.testing.assert_close(gaussian_blur(images, torch.zeros(2)), images, atol=1e-5, rtol=0)
    sigma = torch.tensor([1.0, 2.0], requires_grad=True)
    gaussian_blur(images, sigma).square().sum().backward()
    assert sigma.grad is not None and (sigma.grad < 0).all()  # blur takes energy away


def test_filtering_by_fourier_transform_is_filtering() -> None:
    images, kernel = torch.rand(2, 3, 12, 17), torch.rand(2, 5, 5)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    for i in range(2):
        flipped = kernel[i].flip(0, 1)[None, None]
        exact = torch.nn.functional.conv2d(padded[i][:, None], flipped)[:, 0]
        torch.testing.assert_close(convolve(images, kernel)[i], exact, atol=1e-4, rtol=1e-4)


def test_kernels_sum_to_one_and_vanish_to_a_point() -> None:
    for kernel in (disc(torch.tensor([0.0, 3.2])), line(*torch.tensor([[0.0, 7], [0.0, 3], [30, -120]]))):
        torch.testing.assert_close(kernel.sum(dim=(1, 2)), torch.ones(2))
        assert kernel[0].max() == kernel[0, kernel.shape[1] // 2, kernel.shape[1] // 2] > 0.999
    area = float((disc(torch.tensor([8.0])) > 0).sum())
    assert area == pytest.approx(math.pi * 8**2, rel=0.15)


@pytest.mark.parametrize("angle", [0.0, 37.0, 90.0, -135.0])
def test_motion_lies_along_its_angle(angle: float) -> None:
    kernel = line(torch.tensor([8.0]), torch.tensor([6.0]), torch.tensor([angle]))[0]
    half = kernel.shape[0] // 2
    place = torch.arange(-half, half + 1.0)
    x, y = float((kernel.sum(0) * place).sum()), float((kernel.sum(1) * place).sum())
    assert math.degrees(math.atan2(y, x)) == pytest.approx(angle, abs=2) and math.hypot(x, y) > 3


def test_enlarging_twice_is_enlarging_by_the_product() -> None:
    x = torch.linspace(-1, 1, 33)
    images = (x[:, None] * 0.2 + x * 0.3 + 0.5)[None, None]
    torch.testing.assert_close(zoom(images, 2 * ONE)[0, 0, 16, 32] - 0.5, torch.tensor(0.15))


def test_fog_is_a_fractal_from_zero_to_one() -> None:
    fields = plasma(torch.Size([40, 70]), torch.tensor([3.0, 1.4]), Streams(0, ["a", "b"]))
    assert fields.shape == (2, 1, 40, 70) and fields.min() >= 0 and fields.max() <= 1
    rough = (fields[..., 1:] - fields[..., :-1]).square().mean(dim=(1, 2, 3)) / fields.var(dim=(1, 2, 3))
    assert rough[1] > 4 * rough[0]  # a slower decay leaves more in the fine steps
    whole = plasma(torch.Size([64, 64]), torch.tensor([2.0]), Streams(0, ["a"]))
    assert whole.min() == 0 and whole.max() == 1


def test_glass_takes_neighbours_one_after_another() -> None:
    generator = torch.Generator().manual_seed(0)
    neighbour = (torch.arange(60) + torch.randint(-5, 6, (3, 60), generator=generator)).clamp(0, 59)
    for row, taken in zip(neighbour.tolist(), _one_after_another(neighbour).tolist(), strict=True):
        order = list(range(60))
        for place in reversed(range(60)):
            order[place] = order[row[place]]
        assert taken == order


def test_glass_reaches_as_far_as_it_says() -> None:
    order = _displaced(torch.Size([9, 30]), torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0]), Streams(0, ["a", "b"]))
    assert torch.equal(order[1], torch.arange(270))
    column, place = order[0] % 30, torch.arange(270) % 30
    assert (column - place).min() < -1 and (order[0] != torch.arange(270)).float().mean() > 0.8


def test_blocks_are_means() -> None:
    matrix = _blocks(8, torch.tensor([0.5, 1.0, 0.3]))[:, 0]
    ramp = torch.arange(8.0)
    assert (matrix[0] @ ramp).tolist() == [0.5, 0.5, 2.5, 2.5, 4.5, 4.5, 6.5, 6.5]
    assert torch.equal(matrix[1], torch.eye(8))
    assert (matrix[2] @ ramp).tolist() == pytest.approx([1.5] * 4 + [5.5] * 4)
    torch.testing.assert_close(_blocks(7, torch.tensor([0.65]))[0, 0].sum(dim=1), torch.ones(7))


def test_contrast_moves_towards_each_channels_mean() -> None:
    images = torch.rand(1, 3, 8, 8)
    mean = images.mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(
        corrupt("contrast", images, 2 * ONE, Streams(0, "a"), "imagenet"), mean + 0.3 * (images - mean)
    )


def test_brightness_keeps_hue_and_saturation() -> None:
    images = 0.1 + 0.4 * torch.rand(1, 3, 8, 8)
    brighter = corrupt("brightness", images, 2 * ONE, Streams(0, "a"), "imagenet")
    torch.testing.assert_close(brighter.amax(1), images.amax(1) + 0.2)
    torch.testing.assert_close(brighter / brighter.amax(1, keepdim=True), images / images.amax(1, keepdim=True))


def test_saturate_makes_grey_at_a_factor_of_zero_and_leaves_the_value() -> None:
    images = 0.1 + 0.8 * torch.rand(1, 3, 8, 8)
    vivid = corrupt("saturate", images, 5 * ONE, Streams(0, "a"), "imagenet")
    torch.testing.assert_close(vivid.amax(1), images.amax(1))
    assert vivid.amin(1).max() < 1e-5  # the saturation is full


def test_elastic_maps_differ_from_a_point_to_the_next_and_stay_small() -> None:
    x = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    moved = (corrupt("elastic-transform", x, 5 * ONE, Streams(0, "a"), "imagenet") - x).abs()
    assert 0.002 < float(moved.mean()) < 0.1


def test_elastic_displacements_come_after_the_affine_map() -> None:
    images, draws = torch.zeros(1, 1, 12, 15), torch.tensor([[[0.3, -0.8], [0.5, 0.1], [-0.9, 0.4]]])
    places = _affine(images, torch.tensor([2.0]), draws)
    step = torch.tensor([0.25, -0.5])
    right, down = places[0, 5, 6] - places[0, 5, 5], places[0, 6, 5] - places[0, 5, 5]
    torch.testing.assert_close((step @ _linear(places))[0, 0], 0.25 * right - 0.5 * down, atol=1e-5, rtol=0)
    assert (right - torch.tensor([1.0, 0.0])).abs().max() > 0.05  # the map is not the identity


def test_fog_keeps_each_images_own_brightest_value() -> None:
    images = torch.cat([flat(0.2, 32), flat(0.9, 32)])
    fogged = corrupt("fog", images, torch.tensor([5.0, 5.0]), Streams(0, ["a", "b"]))
    assert fogged[0].max() <= images[0].max() + 1e-5 and fogged[1].max() > 0.5
