"""Augmentations compute in float32 whatever they receive: half precision, 8-bit images, or inside autocast."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor

from granu import Streams

AugmentationT = TypeVar("AugmentationT")


def in_float32(
    apply: Callable[[AugmentationT, Tensor, Streams], Tensor],
) -> Callable[[AugmentationT, Tensor, Streams], Tensor]:
    """Decorate a method (images, streams) -> images so that it computes in float32 and returns the dtype it was given.

    Floating-point images are in [0, 1]. Images in uint8 are in [0, 255] and come back rounded to whole numbers.
    """

    @wraps(apply)
    def wrapped(self: AugmentationT, images: Tensor, streams: Streams) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            if images.dtype == torch.uint8:
                return (apply(self, images.float() / 255, streams) * 255).round().to(torch.uint8)
            return apply(self, images.float(), streams).to(images.dtype)

    return wrapped
