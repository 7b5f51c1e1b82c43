"""Every corruption by its name, and the function that applies one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from granu import DataError, Streams
from granu_corruption import blur, digital, noise, weather
from granu_corruption.filters import each
from granu_corruption.names import COLOUR_ONLY
from granu_corruption.tables import SEVEREST, table_for

Corruption = Callable[[Tensor, Tensor, Streams, float], Tensor]
"""Images (B, C, H, W) in [0, 1], parameters (B, P), random streams and the scale of lengths to corrupted images."""

CORRUPTIONS: Mapping[str, Corruption] = {
    "gaussian-noise": noise.gaussian_noise,
    "shot-noise": noise.shot_noise,
    "impulse-noise": noise.impulse_noise,
    "defocus-blur": blur.defocus_blur,
    "glass-blur": blur.glass_blur,
    "motion-blur": blur.motion_blur,
    "zoom-blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic-transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg-compression": digital.jpeg_compression,
    "speckle-noise": noise.speckle_noise,
    "gaussian-blur": blur.soft_blur,
    "spatter": weather.spatter,
    "saturate": digital.saturate,
}


def corrupt(name: str, images: Tensor, severity: Tensor, streams: Streams, table: str = "auto") -> Tensor:
    """Corrupt images (B, C, H, W) in [0, 1] at `severity` (B,) in [0, 5]; severity 0 leaves an image as it is.

    The same image, severity and stream give the same result in any batch. An image that is corrupted twice from the
    same streams, at two severities, has the same noise, flakes or angles. DataError for grey images where the
    corruption changes colours only.
    """
    if images.shape[1] == 1 and name in COLOUR_ONLY:
        raise DataError(f"corruption:{name} changes colours, and these images are grey; leave it out")
    side = min(images.shape[-2:])
    chosen, severity = table_for(side, table), severity.clamp(0, SEVEREST)
    corrupted = CORRUPTIONS[name](images, chosen.at(name, severity), streams.scope(name), side / chosen.side)
    return torch.where(each(severity) > 0, corrupted.clamp(0, 1), images)
