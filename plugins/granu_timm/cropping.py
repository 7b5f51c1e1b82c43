"""The resizing and cropping that a network was evaluated with, as a part of the network."""

from __future__ import annotations

import math

from torch import Tensor, nn

from granu.pictures import resize

MODES = ("bicubic", "bilinear")  # those that can be undone by a gradient; anything else becomes bicubic


class Cropped(nn.Module):
    """Brings pictures to the network's size: shorter side to size / share, then the middle.

    A picture that has the size already is taken as it is. With `mode` "squash" both sides are resized alike.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int], share: float, mode: str, interpolation: str) -> None:
        super().__init__()
        self.network, self.size, self.share, self.mode = network, size, share, mode
        self.interpolation = interpolation if interpolation in MODES else "bicubic"

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) of any size to what the network answers."""
        if images.shape[-2:] != self.size:
            images = self._fit(images)
        return self.network(images)

    def _fit(self, images: Tensor) -> Tensor:
        height, width = (math.floor(side / self.share) for side in self.size)
        if self.mode != "squash":
            scale = max(height / images.shape[-2], width / images.shape[-1])
            height, width = (round(side * scale) for side in images.shape[-2:])
        images = resize(images, height, width, self.interpolation)
        top, left = (height - self.size[0]) // 2, (width - self.size[1]) // 2
        return images[..., top : top + self.size[0], left : left + self.size[1]]
