"""What is counted as one change: a whole pixel, or one of its channels."""

from __future__ import annotations

import torch
from torch import Tensor


def merge(values: Tensor, *, pixels: bool) -> Tensor:
    """Values (b, C, H, W) summed to one per thing that counts: (b, H * W) pixels or (b, C * H * W) features."""
    return (values.sum(dim=1) if pixels else values).flatten(1)


def choose(kept: Tensor, changed: Tensor, clean: Tensor) -> Tensor:
    """The changed image where `kept` (b, H * W or C * H * W) says so, the clean one elsewhere; (b, C, H, W)."""
    b, _, height, width = clean.shape
    return torch.where(kept.view(b, kept.shape[1] // (height * width), height, width), changed, clean)


def count_changes(changed: Tensor, clean: Tensor, *, pixels: bool) -> Tensor:
    """(b,) how many pixels or features differ at all."""
    return (merge((changed != clean).int(), pixels=pixels) > 0).sum(dim=1)
