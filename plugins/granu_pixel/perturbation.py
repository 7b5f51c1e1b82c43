"""The perturbation `pixel`. Its space is the core's `PixelSpace`, the same as at a generator's site `image`."""

from __future__ import annotations

from granu.spaces.base import NORM_NAMES, PixelSpace
from granu.streams import Streams
from granu.types import Batch, Classifier


class Pixel:
    """Any change to pixels that stays within [0, 1], measured by one norm."""

    def __init__(self, norm: str) -> None:
        self.norm = norm
        self.unit = f"pixel {NORM_NAMES[norm]}"

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> PixelSpace:
        """The space of all changes to the batch's images."""
        return PixelSpace(classifier, batch.images, self.norm)
