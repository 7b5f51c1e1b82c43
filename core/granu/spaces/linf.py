"""Spaces of coordinates whose size is the largest of them: lattices of displacements, coefficients, opacities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from granu.spaces.base import Network, Space
from granu.streams import Streams


class LInfNorm(Space):
    """The measure of a space in which a change is as large as its largest absolute coordinate."""

    def size(self, change: Tensor) -> Tensor:
        return change.abs().amax(dim=1)

    def within(self, change: Tensor, budget: Tensor) -> Tensor:
        return change.clamp(-budget[:, None], budget[:, None])

    def direction(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def slope(self, gradient: Tensor) -> Tensor:
        return gradient.norm(p=1, dim=1)


class LInfSpace(LInfNorm):
    """A change is coordinates of a `shape`, channels first, as a row; its size is the largest absolute value.

    A subclass implements `images` and sets `unit` and `largest`. With `one_sided` no coordinate is below zero, as
    nothing is less than transparent: negative ones are projected to zero.
    """

    one_sided = False

    def __init__(self, classifier: Network, clean: Tensor, shape: Sequence[int]) -> None:
        super().__init__(classifier, clean, math.prod(shape))
        self.shape = tuple(shape)

    def shaped(self, change: Tensor) -> Tensor:
        """A change (B, D) as (B, *shape)."""
        return change.view(-1, *self.shape)

    def within(self, change: Tensor, budget: Tensor) -> Tensor:
        inside = super().within(change, budget)
        return inside.clamp_min(0) if self.one_sided else inside

    def draw(self, budget: Tensor, noise: Streams) -> Tensor:
        """Uniform coordinates, the largest of size `budget` (B,)."""
        change = noise.uniform(self.dimension)
        change = change if self.one_sided else 2 * change - 1
        return change * (budget / self.size(change))[:, None]

    def patch(self, share: float, noise: Streams) -> Tensor:
        """A block of a random place with one sign for each channel (Square Attack, Andriushchenko et al. 2020)."""
        channels, *axes = self.shape
        place = noise.uniform(len(axes))
        signs = torch.where(noise.uniform(channels) < 0.5, -1.0, 1.0)
        block = signs.view(-1, channels, *(1 for _ in axes))
        for axis, length in enumerate(axes):
            wide = min(max(round(length * share ** (1 / len(axes))), 1), length)
            first = (place[:, axis] * (length - wide + 1)).long()[:, None]
            at = torch.arange(length, device=first.device)
            inside = (at >= first) & (at < first + wide)  # (B, length)
            block = block * inside.view(-1, *(length if other == axis else 1 for other in range(-1, len(axes))))
        return block.flatten(1)
