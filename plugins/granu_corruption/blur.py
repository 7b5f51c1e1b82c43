"""Blur: defocus, frosted glass, motion, zoom and Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

from granu import Streams, gaussian_blur
from granu_corruption.filters import convolve, disc, each, line, zoom

ZOOMS = 11  # images whose mean a zoom blur is
SWEEPS = 3  # at most, of frosted glass


def defocus_blur(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Mean over a disc, whose edge is softened."""
    radius, edge = scale * c[:, 0], scale * c[:, 1]
    return gaussian_blur(convolve(images, disc(radius)), edge)


def soft_blur(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    return gaussian_blur(images, scale * c[:, 0])


def motion_blur(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Along a line at a random angle of -45 to 45 degrees."""
    angle = 90 * noise.uniform() - 45
    return convolve(images, line(scale * c[:, 0], scale * c[:, 1], angle))


def zoom_blur(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Mean of the image and of its enlargements by 1 to c."""
    factors = torch.linspace(0, 1, ZOOMS, device=images.device)
    total = images.clone()
    for share in factors.tolist():
        total += zoom(images, 1 + share * (c[:, 0] - 1))
    return total / (ZOOMS + 1)


def glass_blur(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Blur, let every pixel take the value of a random neighbour from the last to the first, and blur again.

    The published program means to exchange pixels, but copies them, since the two sides of its assignment share
    memory; so do we.
    """
    sigma, reach, sweeps = scale * c[:, 0], scale * c[:, 1], c[:, 2]
    order = _displaced(images.shape[-2:], reach, sweeps, noise)
    blurred = gaussian_blur(images, sigma).flatten(2)
    return gaussian_blur(blurred.gather(2, order[:, None].expand_as(blurred)).view_as(images), sigma)


def _displaced(size: torch.Size, reach: Tensor, sweeps: Tensor, noise: Streams) -> Tensor:
    """The pixel whose value each place takes after all sweeps, (B, H * W).

    Steps go from -reach to reach - 1 along both axes, as in ImageNet-C. Where `reach` (B,) is no whole number, a share
    of the pixels reaches one further; where `sweeps` (B,) is none, a share takes part in the last sweep.
    """
    height, width = size
    place = torch.arange(height * width, device=reach.device)
    row, column = place.view(height, width) // width, place.view(height, width) % width
    order = place.expand(len(reach), -1)
    whole = each(reach.floor())[:, 0]  # (B, 1, 1)
    part = each(reach)[:, 0] - whole
    for number in range(SWEEPS):
        u = noise.uniform(4, height, width)  # two steps, whether it reaches further, whether it takes part
        far = whole + (u[:, 2] < part).float()
        dy, dx = (torch.floor((2 * u[:, axis] - 1) * far).long() for axis in (0, 1))
        neighbour = (row + dy).clamp(0, height - 1) * width + (column + dx).clamp(0, width - 1)
        takes_part = u[:, 3] < each(sweeps - number)[:, 0]
        neighbour = torch.where(takes_part, neighbour, place.view(height, width)).flatten(1)
        order = order.gather(1, _one_after_another(neighbour))
    return order


def _one_after_another(neighbour: Tensor) -> Tensor:
    """The pixel whose value each takes, (B, N), if the last takes its neighbour's first, and so on to the first.

    A neighbour behind has taken another's value already, so chains are followed to a pixel whose neighbour has not.
    """
    place = torch.arange(neighbour.shape[1], device=neighbour.device).expand_as(neighbour)
    end = torch.where(neighbour > place, neighbour, place)
    while not torch.equal(further := end.gather(1, end), end):
        end = further
    return neighbour.gather(1, end)
