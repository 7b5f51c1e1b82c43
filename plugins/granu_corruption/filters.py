"""Filters and warps with parameters per image; images are (B, C, H, W), lengths in pixels, and edges are reflected."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def each(values: Tensor) -> Tensor:
    """One value per image (B,) as (B, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def convolve(images: Tensor, kernels: Tensor) -> Tensor:
    """Images filtered with a kernel each, (B, k, k) with k odd, by the Fourier transform."""
    half = kernels.shape[-1] // 2
    padded = _reflected(_reflected(images, half, 2), half, 3)
    size = padded.shape[-2:]
    kernel = F.pad(kernels, (0, size[1] - kernels.shape[-1], 0, size[0] - kernels.shape[-2]))
    kernel = torch.roll(kernel, (-half, -half), dims=(1, 2))[:, None]
    filtered = torch.fft.irfft2(torch.fft.rfft2(padded) * torch.fft.rfft2(kernel), s=size)
    return filtered[..., half : size[0] - half, half : size[1] - half]


def _reflected(images: Tensor, more: int, axis: int) -> Tensor:
    """Images with `more` pixels added on both sides of an axis, reflected as often as it takes."""
    length = images.shape[axis]
    place = torch.arange(-more, length + more, device=images.device).abs() % max(2 * length - 2, 1)
    return images.index_select(axis, torch.minimum(place, 2 * length - 2 - place))


def disc(radius: Tensor) -> Tensor:
    """Kernels (B, k, k) of discs of `radius` (B,) with an edge one pixel wide."""
    half = math.ceil(float(radius.max()) + 0.5)
    place = torch.arange(-half, half + 1, device=radius.device)
    distance = (place[:, None].square() + place[None].square()).sqrt()
    kernel = (radius.view(-1, 1, 1) + 0.5 - distance).clamp(0, 1)
    return kernel / kernel.sum(dim=(1, 2), keepdim=True)


STEP = 0.5  # pixels between the points of a line


def line(radius: Tensor, sigma: Tensor, angle: Tensor) -> Tensor:
    """Kernels (B, k, k) of motion: one half of a Gaussian of `sigma`, cut at two radii, at `angle` in degrees; (B,)."""
    length = 2 * radius
    half = math.ceil(float(length.max())) + 1
    t = torch.arange(0, half, STEP, device=radius.device)[None]  # (1, T)
    weight = torch.exp(-0.5 * (t / sigma.clamp_min(0.05)[:, None]).square())
    weight = weight * (length[:, None] + STEP - t).clamp(0, 1)
    weight[:, 0] = 1.0  # a motion of no length leaves the image
    turn = torch.deg2rad(angle)[:, None]
    kernel = torch.zeros(len(radius), (2 * half + 1) ** 2, device=radius.device)
    x, y = half + t * turn.cos(), half + t * turn.sin()
    for dx in (0, 1):
        for dy in (0, 1):
            column, row = x.floor() + dx, y.floor() + dy
            part = (1 - (x - column).abs()) * (1 - (y - row).abs())
            index = (row * (2 * half + 1) + column).long().clamp(0, kernel.shape[1] - 1)
            kernel.scatter_add_(1, index, weight * part)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    return kernel.view(-1, 2 * half + 1, 2 * half + 1)


def base_grid(images: Tensor) -> Tensor:
    """The places of pixels in pixels from the centre, (1, H, W, 2), x before y."""
    height, width = images.shape[-2:]
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1)[None]


def sample(images: Tensor, places: Tensor) -> Tensor:
    """Images at `places` (B, H, W, 2), in pixels from the centre, bilinear."""
    height, width = images.shape[-2:]
    extent = torch.tensor([max(width - 1, 1) / 2, max(height - 1, 1) / 2], device=images.device)
    return F.grid_sample(images, places / extent, mode="bilinear", padding_mode="reflection", align_corners=True)


def zoom(images: Tensor, factor: Tensor) -> Tensor:
    """Images enlarged about their centres by `factor` (B,), of which the middle is kept."""
    return sample(images, base_grid(images) / each(factor))
