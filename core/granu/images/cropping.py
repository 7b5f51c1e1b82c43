"""Differentiable resizing and cropping, as a classifier was evaluated with them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from granu.images.ops import resize

MODES = ("bicubic", "bilinear")  # the differentiable ones; any other mode becomes bicubic


@dataclass(frozen=True)
class Cropping:
    """Resize until the image covers `box` (height, width), then crop the centre of `size`.

    With `squash` the image is resized to `box` itself, whatever its proportions. `mode` is the interpolation.
    """

    size: tuple[int, int]
    box: tuple[int, int]
    mode: str
    squash: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, *size); images of that size are left unchanged."""
        if images.shape[-2:] == self.size:
            return images
        height, width = self.box
        if not self.squash:
            scale = max(height / images.shape[-2], width / images.shape[-1])
            height, width = (round(side * scale) for side in images.shape[-2:])
        images = resize(images, height, width, self.mode if self.mode in MODES else "bicubic")
        top, left = (height - self.size[0]) // 2, (width - self.size[1]) // 2
        return images[..., top : top + self.size[0], left : left + self.size[1]]
