"""Differentiable resizing and cropping, as a part of the network that was evaluated with them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

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


class Cropped(nn.Module):
    """A network with a cropping in front; takes images of any size (B, C, H, W)."""

    def __init__(self, network: nn.Module, cropping: Cropping) -> None:
        super().__init__()
        self.network, self.cropping = network, cropping

    def forward(self, images: Tensor) -> Tensor:
        """The network's output for the cropped images."""
        return self.network(self.cropping(images))
