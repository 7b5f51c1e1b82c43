"""The perturbation `pixel`; its space is the core's `PixelSpace`, as for a generator's site `image`."""

from __future__ import annotations

import math

from torch import Tensor

from granu import NORM_NAMES, Batch, Classifier, PixelSpace, Streams

RMS_UNIT = "pixel RMS"


class Pixel:
    """Changes to pixels within [0, 1], measured by one norm."""

    def __init__(self, norm: str) -> None:
        self.norm = norm
        self.unit = RMS_UNIT if norm == "rms" else f"pixel {NORM_NAMES[norm]}"

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> PixelSpace:
        """Open the space of all changes to the batch's images."""
        if self.norm == "rms":
            return RmsSpace(classifier, batch.images)
        return PixelSpace(classifier, batch.images, self.norm)


class RmsSpace(PixelSpace):
    """L2 over the root of the number of values, so that one size suits small images and large ones."""

    def __init__(self, classifier: Classifier, clean: Tensor) -> None:
        super().__init__(classifier, clean, "l2")
        self.unit = RMS_UNIT
        self.values = math.sqrt(self.dimension)

    def size(self, change: Tensor) -> Tensor:
        return super().size(change) / self.values

    def within(self, change: Tensor, budget: Tensor) -> Tensor:
        return super().within(change, budget * self.values)

    def direction(self, gradient: Tensor) -> Tensor:
        return super().direction(gradient) * self.values

    def slope(self, gradient: Tensor) -> Tensor:
        return super().slope(gradient) * self.values

    def limit(self) -> Tensor:
        return super().limit() / self.values
