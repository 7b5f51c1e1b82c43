"""Random augmentations of training images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["AUGMENTATIONS", "flip_and_shift", "jitter"]


def jitter(images: Tensor) -> Tensor:
    """Rotate each image by up to 10 degrees, scale it by up to 10 % and shift it by up to two pixels."""
    B = len(images)
    angle = (torch.rand(B) * 2 - 1) * math.radians(10)
    scale = 1 + (torch.rand(B) * 2 - 1) * 0.1
    shift = (torch.rand(B, 2) * 2 - 1) * (2 / 16)  # in units of half the image
    cos, sin = scale * angle.cos(), scale * angle.sin()
    affine = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(images, grid, align_corners=False).clamp(0, 1)


def flip_and_shift(images: Tensor) -> Tensor:
    """Mirror half of the images, and shift each by up to four pixels with black beyond the edge."""
    B, C, H, W = images.shape
    flipped = torch.where(torch.rand(B, 1, 1, 1) < 0.5, images.flip(-1), images)
    padded = F.pad(flipped, (4, 4, 4, 4))
    rows = torch.randint(9, (B, 1)) + torch.arange(H)
    columns = torch.randint(9, (B, 1)) + torch.arange(W)
    each = torch.arange(B)[:, None, None, None]
    return padded[each, torch.arange(C)[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


AUGMENTATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"mnist": jitter, "cifar10": flip_and_shift}
