"""The perturbation `spatial`: a flow field on a lattice, with bilinear warping (Xiao et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Batch, Classifier, LInfSpace, Streams

UNIT = "displacement, half sides"


class Spatial:
    """Deformations by a flow field, of images of any size."""

    unit = UNIT

    def __init__(self, points: int) -> None:
        self.points = points

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> LInfSpace:
        """The space of displacements at the lattice's points."""
        return SpatialSpace(classifier, batch.images, self.points)


class SpatialSpace(LInfSpace):
    """Displacements (2, h, w) along x and y at the points of a lattice, in halves of the image's shorter side.

    They are the coordinates of `grid_sample`, in which Laidlaw et al. bound the flow by 0.05. Between the points
    displacements are interpolated bilinearly, so that none exceeds the size.

    Xiao et al. let every pixel move and add a penalty on differences between neighbours to the loss. Searches that
    project onto a size cannot hold that penalty fixed; here the lattice bounds the differences: neighbours along an
    axis are by default 1/7 of the side apart, and cannot change places below a size of 1/7.
    """

    unit = UNIT
    largest = 0.5

    def __init__(self, classifier: Classifier, clean: Tensor, points: int) -> None:
        self.side = min(clean.shape[-2:])
        lattice = (min(max(round(points * length / self.side), 2), length) for length in clean.shape[-2:])
        super().__init__(classifier, clean, (2, *lattice))

    def images(self, change: Tensor) -> Tensor:
        return warped(self.clean, self.flow(change))

    def flow(self, change: Tensor) -> Tensor:
        """The displacement of every pixel, (B, 2, H, W), in pixels along x and y."""
        size = self.clean.shape[-2:]
        shift = F.interpolate(self.shaped(change), size=size, mode="bilinear", align_corners=True)
        return shift * (self.side / 2)


def warped(images: Tensor, flow: Tensor) -> Tensor:
    """Images (B, C, H, W) read at each pixel's place plus its flow (B, 2, H, W), bilinearly; the border repeats.

    No flow gives the images bit by bit, which `grid_sample` does not, since it rounds places.
    """
    height, width = images.shape[-2:]
    x = (torch.arange(width, device=flow.device) + flow[:, 0]).clamp(0, width - 1)
    y = (torch.arange(height, device=flow.device)[:, None] + flow[:, 1]).clamp(0, height - 1)
    left, top = (place.detach().long().clamp_max(max(length - 2, 0)) for place, length in ((x, width), (y, height)))
    right, below = (left + 1).clamp_max(width - 1), (top + 1).clamp_max(height - 1)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = torch.lerp(_at(images, top, left), _at(images, top, right), across)
    lower = torch.lerp(_at(images, below, left), _at(images, below, right), across)
    return torch.lerp(upper, lower, down)


def _at(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Values (B, C, H, W) of images at rows and columns (B, H, W)."""
    index = (row * images.shape[-1] + column).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)
