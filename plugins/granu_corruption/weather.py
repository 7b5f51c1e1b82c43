"""Weather: snow, frost, fog and spatter, from random fields per image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Streams, fit_channels, gaussian_blur
from granu_corruption.filters import convolve, each, line, zoom
from granu_corruption.plasma import plasma

GREY = (0.299, 0.587, 0.114)
TURQUOISE = (175 / 255, 238 / 255, 238 / 255)
BROWN = (63 / 255, 42 / 255, 20 / 255)
ICE = (0.87, 0.95, 1.0)

NEEDLES = (0.2, 0.1, 0.15, 0.05, 0.1, 0.05)  # lengths of needles of ice in shorter sides of the image
DENSITY = 0.06  # of needles, per pixel and direction: seeds times length


def fog(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Add a fractal, and darken so that the brightest value stays as it is."""
    weight, brightest = each(c[:, 0]), images.amax(dim=(1, 2, 3), keepdim=True)
    layer = plasma(images.shape[-2:], c[:, 1], noise)
    return (images + weight * layer) * brightest / (brightest + weight).clamp_min(1e-6)


def snow(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Flakes that fall at a random angle, on an image that is bleached."""
    mean, deviation, enlarged, threshold, radius, sigma, kept = (each(column) for column in c.T)
    field = mean + deviation * noise.normal(1, *images.shape[-2:])
    field = zoom(field, (enlarged.flatten() * scale).clamp_min(1))
    flakes = torch.where(field < threshold, 0.0, field).clamp(0, 1)
    angle = -45 - 90 * noise.uniform()
    flakes = convolve(flakes, line(scale * radius.flatten(), scale * sigma.flatten(), angle))
    bleached = torch.maximum(images, 1.5 * _grey(images) + 0.5)
    return kept * images + (1 - kept) * bleached + flakes + flakes.rot90(2, dims=(2, 3))


def frost(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """A mean of the image and a texture of ice, with weights that need not add up to one."""
    return each(c[:, 0]) * images + each(c[:, 1]) * ice(images, noise)


def ice(images: Tensor, noise: Streams) -> Tensor:
    """Ice on a window, (B, C, H, W): needles in six directions 60 degrees apart, on veins and clouds."""
    size, count = images.shape[-2:], len(images)
    side = min(size)
    decay = torch.full((count,), 1.7, device=images.device)
    clouds = plasma(size, decay, noise.scope("clouds"))
    veins = 1 - (2 * plasma(size, decay, noise.scope("veins")) - 1).abs()
    first = 60 * noise.uniform()
    needles = torch.zeros_like(clouds)
    for number, share in enumerate(NEEDLES):
        length = torch.full((count,), share * side, device=images.device)
        seeds = (noise.uniform(1, *size) < DENSITY / (share * side)).float()
        needles += share * side * convolve(seeds, line(length / 2, length, first + 60 * number))
    texture = 0.35 * clouds + 0.25 * veins**8 + 0.6 * needles.clamp_max(1) * (0.3 + 0.7 * clouds)
    return texture.clamp(0, 1) * _colour(ICE, images)


def spatter(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Drops of water up to severity 3, mud from 4 on, and a mean of both between."""
    mean, deviation, _, threshold, _, share = (each(column) for column in c.T)
    liquid = gaussian_blur(mean + deviation * noise.normal(1, *images.shape[-2:]), scale * c[:, 2])
    water = images + _drops(liquid, threshold, scale) * each(c[:, 4]) * _colour(TURQUOISE, images)
    cover = gaussian_blur((liquid > threshold).float(), scale * c[:, 4])
    cover = torch.where(cover < 0.8, 0.0, cover)
    mud = images * (1 - cover) + cover * _colour(BROWN, images)
    return (1 - share) * water.clamp(0, 1) + share * mud


EMBOSS = ((-2.0, -1.0, 0.0), (-1.0, 1.0, 1.0), (0.0, 1.0, 2.0))  # light from the lower right


def _drops(liquid: Tensor, threshold: Tensor, scale: float) -> Tensor:
    """Brightness of the drops, (B, 1, H, W), at most 1: lit where they bulge towards the light."""
    drops = torch.where(liquid < threshold, 0.0, liquid)
    depth = gaussian_blur((drops > 0).float(), torch.full((len(liquid),), 2 * scale, device=liquid.device))
    kernel = torch.tensor(EMBOSS, device=liquid.device)[None, None]
    lit = F.conv2d(F.pad(depth, (1, 1, 1, 1), mode="reflect"), kernel).clamp(0, 1)
    bright = drops * lit
    return bright / bright.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)


def _grey(images: Tensor) -> Tensor:
    """(B, 1, H, W) the luma of colour images (BT.601); grey images as they are."""
    if images.shape[1] == 1:
        return images
    return (images * torch.tensor(GREY, device=images.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _colour(colour: tuple[float, float, float], images: Tensor) -> Tensor:
    """A colour as (1, C, 1, 1); its mean for grey images."""
    return fit_channels(torch.tensor(colour, device=images.device).view(1, 3, 1, 1), images.shape[1])
