"""Bounds on the change of each element of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PixelBounds:
    """Bounds in [0, 1] on the grid of 8-bit images, and a mask of allowed changes; (b, C, H, W) each."""

    lower: Tensor
    upper: Tensor
    mask: Tensor  # 1 where an image may change, 0 elsewhere

    def select(self, index: Tensor) -> PixelBounds:
        """The bounds of some of the images."""
        return PixelBounds(self.lower[index], self.upper[index], self.mask[index])

    def narrower(self, images: Tensor, share: float) -> PixelBounds:
        """A share of the way from 8-bit `images` (b, C, H, W) to each bound, but at least one 8-bit step of it."""
        if share == 1:
            return self
        down, up = ((share * way * 255 + 1e-3).floor() / 255 for way in (images - self.lower, self.upper - images))
        step = 1 / 255
        lower = (images - down.clamp_min(step)).maximum(self.lower)
        return PixelBounds(lower, (images + up.clamp_min(step)).minimum(self.upper), self.mask)


def bounds_around(images: Tensor, delta: float = 1.0, region: Tensor | None = None) -> PixelBounds:
    """Within `delta` of 8-bit `images` (b, C, H, W) and within [0, 1]; only inside `region` (H, W), if there is one."""
    # inwards to the grid, or rounding an image to 8 bits would carry it out of bounds
    delta = math.floor(delta * 255 + 1e-6) / 255
    mask = torch.ones_like(images) if region is None else region.to(images).expand_as(images)
    return PixelBounds((images - delta * mask).clamp_min(0), (images + delta * mask).clamp_max(1), mask)
