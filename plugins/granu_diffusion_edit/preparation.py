"""Images as a model takes them, and back: three channels, a size that fits, and the image's own size again."""

from __future__ import annotations

from torch import Tensor

from granu import fit_channels, quantize, resize
from granu_diffusion_edit.engine import Frame

COLOURS = 3


def to_model(images: Tensor, frame: Frame) -> Tensor:
    """Images (B, C, H, W) in [0, 1] as (B, 3, h, w), of a size that fits the frame; nothing is cropped."""
    size = frame.fit(*images.shape[-2:])
    images = fit_channels(images, COLOURS)
    return quantize(images if images.shape[-2:] == size else resize(images, *size).clamp(0, 1))


def back(images: Tensor, like: Tensor) -> Tensor:
    """Returned images (B, 3, h, w) in the channels and size of `like` (.., C, H, W), quantized to 8 bits."""
    images = fit_channels(images.clamp(0, 1), like.shape[-3])
    size = like.shape[-2:]
    return quantize(images if images.shape[-2:] == size else resize(images, *size).clamp(0, 1))
