"""`pixel` as the core meets it. Its space is the core's `PixelSpace`, which a generator's site `image` is too."""

from __future__ import annotations

from granu import NORM_NAMES, Batch, Classifier, PixelSpace, Streams


class Pixel:
    """Any change to pixels that stays within [0, 1], measured by one norm."""

    def __init__(self, norm: str) -> None:
        self.norm = norm
        self.unit = f"pixel {NORM_NAMES[norm]}"

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> PixelSpace:
        """The batch's images, every value free."""
        return PixelSpace(classifier, batch.images, self.norm)
