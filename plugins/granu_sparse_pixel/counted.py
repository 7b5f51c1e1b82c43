"""Counting changes: by whole pixels, or by channels."""

from __future__ import annotations

import torch
from torch import Tensor


def merge(values: Tensor, *, pixels: bool) -> Tensor:
    """Values (b, C, H, W) summed to one per pixel, (b, H * W), or one per feature, (b, C * H * W)."""
    return (values.sum(dim=1) if pixels else values).flatten(1)


def choose(kept: Tensor, changed: Tensor, clean: Tensor) -> Tensor:
    """The changed image where `kept` (b, H * W or C * H * W) is true, the clean one elsewhere; (b, C, H, W)."""
    b, _, height, width = clean.shape
    return torch.where(kept.view(b, kept.shape[1] // (height * width), height, width), changed, clean)


def count_changes(changed: Tensor, clean: Tensor, *, pixels: bool) -> Tensor:
    """(b,) the number of pixels or features that differ."""
    return (merge((changed != clean).int(), pixels=pixels) > 0).sum(dim=1)
