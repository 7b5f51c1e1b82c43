"""Changes of light and colour; images (B, C, H, W) in [0, 1], changes (B, D), zero changes nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

DARKEST = 1 / 255  # the darkest value that is not black
LUMA = (0.299, 0.587, 0.114)  # BT.601
CHROMA = ((1 / math.sqrt(2), -1 / math.sqrt(2), 0.0), (1 / math.sqrt(6), 1 / math.sqrt(6), -2 / math.sqrt(6)))


def brightness(images: Tensor, change: Tensor) -> Tensor:
    """Add to every value."""
    return images + _each(change)


def contrast(images: Tensor, change: Tensor) -> Tensor:
    """Scale around the image's mean by two to the power of the change."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * 2 ** _each(change)


def gamma(images: Tensor, change: Tensor) -> Tensor:
    """Raise to a power of two to the power of the change; above zero darker."""
    # the derivative of a power at zero is infinite, and black stays black
    return torch.where(images > 0, images.clamp_min(DARKEST) ** (2 ** _each(change)), images)


def tint(images: Tensor, change: Tensor) -> Tensor:
    """Add a colour whose channels sum to zero: two coordinates of the plane across the axis of greys."""
    cast = change @ torch.tensor(CHROMA, device=images.device)
    return images + cast[:, :, None, None]


def hue(images: Tensor, change: Tensor) -> Tensor:
    """Turn colours around the axis of greys, by degrees."""
    angle = torch.deg2rad(_each(change))
    mean = images.mean(dim=1, keepdim=True)
    across = (images.roll(1, dims=1) - images.roll(-1, dims=1)) / math.sqrt(3)
    return mean + (images - mean) * angle.cos() + across * angle.sin()


def saturation(images: Tensor, change: Tensor) -> Tensor:
    """Scale the distance from grey by two to the power of the change."""
    grey = _luma(images)
    return grey + (images - grey) * 2 ** _each(change)


def greyscale(images: Tensor, change: Tensor) -> Tensor:
    """Mix with the grey image."""
    return images + _each(change) * (_luma(images) - images)


def _each(change: Tensor) -> Tensor:
    """A change of one coordinate (B, 1) as (B, 1, 1, 1)."""
    return change.view(-1, 1, 1, 1)


def _luma(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)
