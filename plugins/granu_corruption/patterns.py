"""The perturbation `weather`: fog and snow whose pattern is searched, after Kang et al. 2019.

A veil of white lies over the image, x + opacity (1 - x), as in Koschmieder's law of haze. A change is what the veil is
made of, and its size the largest opacity of that, so that both are spaces with a gradient and no change is the image
itself. Kang et al. search the pattern at a fixed weight, on top of ImageNet-C's programs: their fog also darkens the
image, and their snow bleaches it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Batch, Classifier, LInfSpace, Streams, clamp_for_descent, gaussian_blur
from granu_corruption.filters import convolve, line
from granu_corruption.plasma import displaced, torus_side

UNIT = "opacity"
DECAY = 2.0  # of the fog's fractal, per halving of the step; that of Kang et al.

LAYERS = ((0.12, 5), (0.08, 8), (0.05, 12))  # length of a flake's streak in shorter sides, and flakes along one of them
WIDTH = 0.2  # standard deviation of a streak's blur, in its lengths
THINNEST = 0.35  # pixels


class Weather:
    """Fog or snow, over images of any size."""

    unit = UNIT

    def __init__(self, name: str) -> None:
        self.name = name

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> LInfSpace:
        """The space of the pattern; places and fall of snowflakes are random and not searched."""
        if self.name == "fog":
            return FogSpace(classifier, batch.images)
        return SnowSpace(classifier, batch.images, noise)


class VeilSpace(LInfSpace, ABC):
    """Opacities of what a veil of white is made of."""

    unit = UNIT
    largest = 1.0
    one_sided = True

    def images(self, change: Tensor) -> Tensor:
        return torch.lerp(self.clean, torch.ones_like(self.clean), clamp_for_descent(self.veil(change)))

    @abstractmethod
    def veil(self, change: Tensor) -> Tensor:
        """Opacity at each pixel, (B, 1, H, W)."""


class FogSpace(VeilSpace):
    """The displacements (1, n, n) of a plasma fractal; each pixel's opacity is a weighted mean of them."""

    def __init__(self, classifier: Classifier, clean: Tensor) -> None:
        side = torus_side(clean.shape[-2:])
        super().__init__(classifier, clean, (1, side, side))
        self.whole = displaced(torch.ones(1, side, side).to(clean), torch.full((1,), DECAY).to(clean))

    def veil(self, change: Tensor) -> Tensor:
        height, width = self.clean.shape[-2:]
        field = displaced(self.shaped(change)[:, 0], torch.full((len(change),), DECAY).to(change))
        return (field / self.whole)[:, None, :height, :width]


class SnowSpace(VeilSpace):
    """The opacities (1, N) of flakes in three layers, near to far, each flake anywhere in its cell of a lattice.

    All flakes of an image fall at one random angle. Flakes of a layer add up where they touch, and layers cover each
    other, so that little is more opaque than the size.
    """

    def __init__(self, classifier: Classifier, clean: Tensor, noise: Streams) -> None:
        height, width = clean.shape[-2:]
        side = min(height, width)
        lattices = [tuple(max(1, round(flakes * n / side)) for n in (height, width)) for _, flakes in LAYERS]
        self.counts = [down * across for down, across in lattices]
        super().__init__(classifier, clean, (1, sum(self.counts)))
        self.places = torch.cat([_scattered((height, width), lattice, noise) for lattice in lattices], dim=1)
        self.streaks = streaks(side, -45 - 90 * noise.uniform())  # (B, L, k, k)

    def veil(self, change: Tensor) -> Tensor:
        layers = []
        for number, (opacity, places) in enumerate(
            zip(change.split(self.counts, dim=1), self.places.split(self.counts, dim=1), strict=True)
        ):
            flakes = torch.zeros_like(self.clean[:, 0]).flatten(1).scatter_add(1, places, opacity)
            layers.append(convolve(flakes.view_as(self.clean[:, :1]), self.streaks[:, number]))
        return 1 - (1 - torch.cat(layers, dim=1)).prod(dim=1, keepdim=True)

    def select(self, index: Tensor) -> Self:
        chosen = super().select(index)
        chosen.places, chosen.streaks = self.places[index], self.streaks[index]
        return chosen


def _scattered(size: tuple[int, int], lattice: tuple[int, ...], noise: Streams) -> Tensor:
    """Pixels (B, N) of an image of `size`, a random one in each cell of a lattice, row by row."""
    row, column = (
        ((torch.arange(cells, device=drawn.device).view(shape) + drawn) * length / cells).long().clamp_max(length - 1)
        for cells, length, shape, drawn in zip(
            lattice, size, ((-1, 1), (1, -1)), noise.uniform(2, *lattice).unbind(1), strict=True
        )
    )
    return (row * size[1] + column).flatten(1)


def streaks(side: int, angle: Tensor) -> Tensor:
    """Streaks of a flake of opacity 1 in each layer, (B, L, k, k) from 0 to 1, falling at `angle` (B,)."""
    kernels, longest = [], side * LAYERS[0][0]
    margin = math.ceil(longest) + math.ceil(3 * max(WIDTH * longest, THINNEST)) + 1
    for share, _ in LAYERS:
        length = torch.full_like(angle, share * side)
        kernel = line(length / 2, length / 2, angle)
        kernel = F.pad(kernel, (margin - kernel.shape[-1] // 2,) * 4)[:, None]
        kernel = gaussian_blur(kernel, (WIDTH * length).clamp_min(THINNEST))
        kernels.append(kernel / kernel.amax(dim=(2, 3), keepdim=True))
    return torch.cat(kernels, dim=1)
