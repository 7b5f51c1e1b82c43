"""How far each element of a picture may be moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Room:
    """Bounds in [0, 1] on the grid of 8-bit pictures, and where changes are allowed at all; (b, C, H, W) each."""

    lower: Tensor
    upper: Tensor
    mask: Tensor  # 1 where a picture may change, 0 elsewhere

    def select(self, index: Tensor) -> Room:
        """The room of some of the pictures."""
        return Room(self.lower[index], self.upper[index], self.mask[index])


def room_around(images: Tensor, delta: float = 1.0, region: Tensor | None = None) -> Room:
    """Within `delta` of 8-bit `images` (b, C, H, W) and within [0, 1]; only inside `region` (H, W), if there is one."""
    # inwards to the grid, or rounding a picture to 8 bits would carry it out of bounds
    delta = math.floor(delta * 255 + 1e-6) / 255
    mask = torch.ones_like(images) if region is None else region.to(images).expand_as(images)
    return Room((images - delta * mask).clamp_min(0), (images + delta * mask).clamp_max(1), mask)
