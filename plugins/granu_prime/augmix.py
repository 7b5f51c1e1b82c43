"""The operations of AugMix (Hendrycks et al. 2020, section 3) as primitives: geometry and histograms, no colour noise.

Each draws a level from U(0.1, `severity`) for each image, on a scale whose end is 10. The published code calls Pillow,
image by image; here they are tensor operations on batches. Positions between pixels are interpolated bilinearly, as
there, but pixels at the border are blended with the black around them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Streams
from granu_prime.mixing import Primitive
from granu_prime.precision import in_float32

SCALE = 10  # the level at which an operation has its full extent
LOWEST = 0.1
EXTENTS = {"rotate": 30.0, "shear-x": 0.3, "shear-y": 0.3, "translate-x": 1 / 3, "translate-y": 1 / 3}


def operations(severity: float) -> tuple[Primitive, ...]:
    """The nine operations of AugMix, which exclude those that ImageNet-C measures; the published severity is 3."""
    histograms = (AutoContrast(), Equalize(), Posterize(severity), Solarize(severity))
    return (*histograms, *(Geometric(name, severity) for name in EXTENTS))


@dataclass(frozen=True)
class AutoContrast:
    """Stretch each channel so that its darkest value is 0 and its brightest 1; a constant channel stays."""

    @in_float32
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
        stretched = (images - low) / (high - low).clamp_min(1e-6)
        return torch.where(high - low > 1e-6, stretched.clamp(0, 1), images)


@dataclass(frozen=True)
class Equalize:
    """Map each channel's 256 levels so that its histogram becomes as flat as they allow, as Pillow does."""

    @in_float32
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        levels = (images * 255).round().long().flatten(2)  # (B, C, H W)
        counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=images.device)
        counts.scatter_add_(2, levels, torch.ones_like(levels))
        brightest = counts.gather(2, levels.amax(dim=2, keepdim=True))
        step = (levels.shape[2] - brightest) // 255  # (B, C, 1) pixels for each level
        below = counts.cumsum(dim=2) - counts
        table = ((step // 2 + below) // step.clamp_min(1)).clamp_max(255)
        equalized = (table.gather(2, levels).float() / 255).view_as(images)
        return torch.where((step > 0)[..., None], equalized, images)


@dataclass(frozen=True)
class Posterize:
    """Keep the highest bits of the 8 of each value: 4, or fewer at higher levels."""

    severity: float

    @in_float32
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        bits = 4 - (4 * _level(streams, self.severity)).floor().clamp_max(4)
        width = (2 ** (8 - bits))[:, None, None, None]
        return ((images * 255).round() / width).floor() * width / 255


@dataclass(frozen=True)
class Solarize:
    """Invert the values from a threshold on, which is lower at higher levels."""

    severity: float

    @in_float32
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        threshold = 256 - (256 * _level(streams, self.severity)).floor()[:, None, None, None]
        return torch.where((images * 255).round() < threshold, images, 1 - images)


@dataclass(frozen=True)
class Geometric:
    """Rotate, shear or translate by a random amount with a random sign; black comes in from outside."""

    name: str
    severity: float

    @in_float32
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        sign = 2 * streams.integers(2) - 1
        amount = sign * EXTENTS[self.name] * _level(streams, self.severity)
        return affine(images, *matrices(self.name, amount, (images.shape[-2], images.shape[-1])))


def matrices(name: str, amount: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Linear maps (B, 2, 2) and shifts (B, 2), in pixels (x, y), from a place in the result to its source.

    `amount` (B,) is in degrees, in pixels per pixel, or in sides of the image, which translations round down to pixels.
    """
    linear = torch.eye(2, device=amount.device).repeat(len(amount), 1, 1)
    shift = torch.zeros(len(amount), 2, device=amount.device)
    operation, _, axis = name.partition("-")
    if operation == "rotate":
        angle = amount.trunc() * (math.pi / 180)
        linear = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), dim=1).view(-1, 2, 2)
    elif operation == "shear":
        linear[(..., 0, 1) if axis == "x" else (..., 1, 0)] = amount
        # the published code shears around the upper left corner
        shift[:, 0 if axis == "x" else 1] = amount * (size[0] - 1 if axis == "x" else size[1] - 1) / 2
    else:
        shift[:, 0 if axis == "x" else 1] = (amount * (size[1] if axis == "x" else size[0])).trunc()
    return linear, shift


def affine(images: Tensor, linear: Tensor, shift: Tensor) -> Tensor:
    """Sample images (B, C, H, W) where (B, 2, 2) and (B, 2) map each pixel, seen from the centre; black outside."""
    H, W = images.shape[-2:]
    y, x = torch.meshgrid(torch.arange(H) - (H - 1) / 2, torch.arange(W) - (W - 1) / 2, indexing="ij")
    places = torch.stack((x, y), dim=-1).view(-1, 2).to(linear)  # (H W, 2)
    sources = places @ linear.transpose(1, 2) + shift[:, None]  # (B, H W, 2)
    half = torch.tensor([W / 2, H / 2]).to(linear)
    grid = (sources / half).view(-1, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _level(streams: Streams, severity: float) -> Tensor:
    """A random level for each image (B,), as a share of the scale."""
    return (LOWEST + (severity - LOWEST) * streams.uniform()) / SCALE
