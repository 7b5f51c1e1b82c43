"""The perturbation `style`: for every name a space of one or two coordinates whose sizes searches scan."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from granu import Batch, Classifier, DataError, Space, Streams, clamp_for_descent
from granu_style import COLOUR_ONLY, colour, geometry

Apply = Callable[[Tensor, Tensor], Tensor]
"""Images (B, C, H, W) and a change (B, D) to images, about [0, 1]."""


@dataclass(frozen=True)
class Style:
    """A family of changes: its coordinates, the unit of its size, and the size beyond which searches do not look."""

    apply: Callable[..., Tensor]
    unit: str
    largest: float
    directions: int = 2  # that are scanned: 1 upwards only, 2 both signs, more around a circle

    @property
    def dimension(self) -> int:
        """Coordinates of a change: one, or two where changes have a direction."""
        return 1 if self.directions <= 2 else 2

    def rays(self) -> Tensor:
        """The scanned directions, (R, D)."""
        if self.dimension == 1:
            return torch.tensor([[1.0], [-1.0]])[: self.directions]
        angle = torch.arange(self.directions) * (2 * math.pi / self.directions)
        return torch.stack([angle.cos(), angle.sin()], dim=1)


STYLES = {
    "rotation": Style(geometry.rotation, "degrees", 180.0),
    "translation": Style(geometry.translation, "% of the sides", 50.0, directions=8),
    "scale": Style(geometry.scale, "doublings of size", 2.0),
    "perspective": Style(geometry.perspective, "degrees of tilt", 60.0, directions=8),
    "blur": Style(geometry.blur, "sigma, % of the shorter side", 15.0, directions=1),
    "brightness": Style(colour.brightness, "share of the range", 1.0),
    "contrast": Style(colour.contrast, "doublings of contrast", 5.0),
    "gamma": Style(colour.gamma, "doublings of gamma", 4.0),
    "tint": Style(colour.tint, "distance in RGB", 1.0, directions=12),
    "hue": Style(colour.hue, "degrees of hue", 180.0),
    "saturation": Style(colour.saturation, "doublings of saturation", 5.0),
    "greyscale": Style(colour.greyscale, "share of grey", 1.0, directions=1),
}
GEOMETRIC = ("rotation", "translation", "scale", "perspective", "blur")


class StyleSpace(Space):
    """Changes of one style; differentiable, but searched by scanning, since verdicts over an angle have many minima."""

    def __init__(self, classifier: Classifier, clean: Tensor, style: Style, apply: Apply) -> None:
        super().__init__(classifier, clean, style.dimension)
        self.style, self.apply = style, apply
        self.unit, self.largest = style.unit, style.largest

    def images(self, change: Tensor) -> Tensor:
        return clamp_for_descent(self.apply(self.clean, change))

    def size(self, change: Tensor) -> Tensor:
        return change.norm(dim=1)

    def within(self, change: Tensor, budget: Tensor) -> Tensor:
        change = change.clamp_min(0) if self.style.directions == 1 else change
        return super().within(change, budget)

    def direction(self, gradient: Tensor) -> Tensor:
        return gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)

    def slope(self, gradient: Tensor) -> Tensor:
        return gradient.norm(dim=1)

    def draw(self, budget: Tensor, noise: Streams) -> Tensor:
        if self.style.directions == 1:
            return budget[:, None]
        return super().draw(budget, noise)

    def rays(self) -> Tensor:
        return self.style.rays().to(self.clean.device)


class StylePerturbation:
    """One style, of images of any size."""

    def __init__(self, name: str, fill: str) -> None:
        self.name, self.style = name, STYLES[name]
        self.unit = self.style.unit
        self.apply: Apply = partial(self.style.apply, fill=fill) if name in GEOMETRIC else self.style.apply

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        """The space of this batch. DataError for grey images where only colours would change."""
        if batch.images.shape[1] == 1 and self.name in COLOUR_ONLY:
            raise DataError(f"style:{self.name} changes colours, and these images are grey; leave it out")
        return StyleSpace(classifier, batch.images, self.style, self.apply)
