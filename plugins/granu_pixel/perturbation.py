"""The perturbation `pixel`; its space is the core's `PixelSpace`, as for a generator's site `image`."""

from __future__ import annotations

from granu import NORM_NAMES, Batch, Classifier, PixelSpace, Streams


class Pixel:
    """Changes to pixels within [0, 1], measured by one norm."""

    def __init__(self, norm: str) -> None:
        self.norm = norm
        self.unit = f"pixel {NORM_NAMES[norm]}"

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> PixelSpace:
        """Open the space of all changes to the batch's images."""
        return PixelSpace(classifier, batch.images, self.norm)
