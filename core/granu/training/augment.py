"""Random augmentations of training images, each image with its own stream, on the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from granu.images.ops import resize
from granu.streams import Streams

SHIFT = 4  # pixels of shift-flip, in each direction
AREAS = (0.08, 1.0)  # of resized-crop-flip, as shares of the image
RATIOS = (3 / 4, 4 / 3)  # width to height


def jitter(images: Tensor, streams: Streams) -> Tensor:
    """Rotate by up to 10 degrees, scale by up to 10 % and shift by up to 1/16 of the side; black beyond the edge."""
    angle, scale, *shift = (streams.uniform(4) * 2 - 1).unbind(1)
    angle, scale = angle * math.radians(10), 1 + scale * 0.1
    cos, sin = scale * angle.cos(), scale * angle.sin()
    across, down = (part * (2 / 16) for part in shift)  # in units of half the image
    affine = torch.stack([torch.stack([cos, -sin, across], 1), torch.stack([sin, cos, down], 1)], 1)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(images, grid, align_corners=False).clamp(0, 1)


def shift_flip(images: Tensor, streams: Streams) -> Tensor:
    """Shift by up to four pixels, black beyond the edge, and mirror half of the images."""
    _, C, H, W = images.shape
    shifts = streams.integers(2 * SHIFT + 1, 2)
    rows = shifts[:, :1] + torch.arange(H, device=images.device)  # (B, H)
    columns = shifts[:, 1:] + torch.arange(W, device=images.device)
    padded = F.pad(images, (SHIFT,) * 4)
    each = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(C, device=images.device)[:, None, None]
    shifted = padded[each, channels, rows[:, None, :, None], columns[:, None, None, :]]
    return _flipped(shifted, streams)


def resized_crop_flip(images: Sequence[Tensor], streams: Streams, size: tuple[int, int]) -> Tensor:
    """Crop a random part of each image (C, h, w), resize it to `size`, mirror half of them: (B, C, *size).

    A part has 8 to 100 % of the area and sides as 3:4 to 4:3 (Szegedy et al. 2015, section 6).
    """
    draws = streams.uniform(4).tolist()
    parts = [
        resize(image[None, :, top : top + height, left : left + width].float(), *size)
        for image, draw in zip(images, draws, strict=True)
        for top, left, height, width in [_part(image.shape[-2], image.shape[-1], draw)]
    ]
    return _flipped(torch.cat(parts).clamp(0, 1), streams)


def _part(height: int, width: int, draw: Sequence[float]) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random part, from four uniform numbers.

    A part that would leave the image is cut to it, where the usual implementation draws again.
    """
    area = height * width * (AREAS[0] + (AREAS[1] - AREAS[0]) * draw[0])
    low, high = (math.log(ratio) for ratio in RATIOS)
    ratio = math.exp(low + (high - low) * draw[1])
    part = [min(height, max(1, round(math.sqrt(area / ratio)))), min(width, max(1, round(math.sqrt(area * ratio))))]
    return int(draw[2] * (height - part[0] + 1)), int(draw[3] * (width - part[1] + 1)), part[0], part[1]


def _flipped(images: Tensor, streams: Streams) -> Tensor:
    return torch.where(streams.uniform(1, 1, 1) < 0.5, images.flip(-1), images)


CROPS = "resized-crop-flip"  # works on images of any sizes, as they were read
WHOLE: Mapping[str, Callable[[Tensor, Streams], Tensor]] = {"jitter": jitter, "shift-flip": shift_flip}
