"""The perturbation `recolor`: one smooth map of colours for the whole image (Laidlaw and Feizi 2019)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Batch, Classifier, LInfSpace, Streams, clamp_for_descent
from granu_smooth import luv

UNIT = "colour shift, share of the range"
COLOUR = 3  # channels


class Recolor:
    """Maps of colours, of images of any size."""

    unit = UNIT

    def __init__(self, points: int) -> None:
        self.points = points

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> LInfSpace:
        """The space of shifts at the lattice's points: of CIELUV for colour images, else of each channel's values."""
        space = ColourSpace if batch.images.shape[1] == COLOUR else GreySpace
        return space(classifier, batch.images, self.points)


class ColourSpace(LInfSpace):
    """Shifts (3, n, n, n) of CIELUV at the points of a lattice over CIELUV, trilinear in between.

    A size is a share of the range of L, u and v, which is 100, 200 and 200. Equal colours are changed equally wherever
    they are. Laidlaw and Feizi take a lattice of 16 x 32 x 32 points, and add a penalty on differences between
    neighbours to the loss. Searches that project onto a size cannot hold that penalty fixed; here the lattice is
    coarser, so that neighbours, by default 1/7 of the range apart, cannot change places below a size of 1/14. What
    sRGB lacks is clamped in the image, not at the lattice's points.
    """

    unit = UNIT
    largest = 0.5

    def __init__(self, classifier: Classifier, clean: Tensor, points: int) -> None:
        super().__init__(classifier, clean, (COLOUR, points, points, points))
        self.colours = luv.from_rgb(clean)  # (B, 3, H, W)

    def images(self, change: Tensor) -> Tensor:
        # grid_sample reads coordinates from the last axis to the first, from -1 to 1
        places = (2 * self.colours - 1).flip(1).permute(0, 2, 3, 1)[:, None]  # (B, 1, H, W, 3)
        shift = F.grid_sample(self.shaped(change), places, padding_mode="border", align_corners=True)
        # as a difference, so that no change gives the image bit by bit
        added = luv.to_rgb(self.colours + shift[:, :, 0]) - luv.to_rgb(self.colours)
        return clamp_for_descent(self.clean + added)

    def select(self, index: Tensor) -> ColourSpace:
        chosen = super().select(index)
        chosen.colours = self.colours[index]
        return chosen


class GreySpace(LInfSpace):
    """Shifts (C, n) of each channel's values at points spread over [0, 1], linear in between."""

    unit = UNIT
    largest = 0.5

    def __init__(self, classifier: Classifier, clean: Tensor, points: int) -> None:
        super().__init__(classifier, clean, (clean.shape[1], points))

    def images(self, change: Tensor) -> Tensor:
        curves, values = self.shaped(change), self.clean.flatten(2)  # (B, C, n), (B, C, H W)
        place = values * (self.shape[1] - 1)
        below = place.long().clamp_max(self.shape[1] - 2)
        shift = torch.lerp(curves.gather(2, below), curves.gather(2, below + 1), place - below)
        return clamp_for_descent(self.clean + shift.view_as(self.clean))
