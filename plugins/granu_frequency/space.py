"""The perturbation `frequency`: a space of changes within one band, for the core's searches."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from granu import Batch, Classifier, DataError, Space, Streams, clamp_for_descent
from granu_frequency import FrequencyOptions
from granu_frequency.bands import Band, make_band
from granu_frequency.windows import nth_start, width_of


class Frequency:
    """Changes whose frequencies lie within one band, measured in L2 over pixels."""

    def __init__(self, options: FrequencyOptions) -> None:
        self.options = options
        self.unit = UNIT

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        """The space of the band at this image size."""
        return FrequencySpace(classifier, batch.images, self.band(tuple(batch.images.shape[-2:])), self.options.box)

    def band(self, size: tuple[int, ...]) -> Band:
        """The band that the options give for images of `size` (H, W). DataError if it does not fit."""
        options = self.options
        width = [width_of(n) if options.width is None else options.width for n in size]
        start = [_start(options, n) for n in size]
        for n, s, w in zip(size, start, width, strict=True):
            if s + w > n:
                raise DataError(
                    f"a band from {s} to {s + w} does not fit images of {n} pixels, whose frequencies end at {n}; "
                    "choose a smaller start= or width="
                )
        return make_band(options.shape, start, width, size)


def _start(options: FrequencyOptions, n: int) -> int:
    if options.start is not None:
        return options.start
    return nth_start(n, options.window or 0, options.windows)


UNIT = "pixel L2 in band"
BEYOND = 100.0  # ranges of images, the limit where changes are not kept within one


class FrequencySpace(Space):
    """A change is the coefficients of one band, (B, C * h * w); its L2 norm is that of the pixels it moves.

    With `box` images are clamped to [0, 1]; the size is that of the change before clamping, so it is never too small.
    Clamping leaks into other frequencies, most on images with large black areas, such as digits. Without `box` the
    classifier is evaluated beyond the range, as in the paper; such changes have no images and are judged by its logits.
    """

    unit = UNIT

    def __init__(self, classifier: Classifier, clean: Tensor, band: Band, box: bool = True) -> None:
        self.band = band.to(clean)
        self.channels = clean.shape[1]
        self.has_images = box
        super().__init__(classifier, clean, self.channels * band.inside.numel())

    def images(self, change: Tensor) -> Tensor:
        return clamp_for_descent(self._moved(change))

    def forward(self, change: Tensor) -> Tensor:
        return super().forward(change) if self.has_images else self.classifier(self._moved(change))

    def _moved(self, change: Tensor) -> Tensor:
        """(B, C, H, W), not clamped."""
        spectrum = change.view(len(change), self.channels, *self.band.inside.shape)
        return self.clean + self.band.image(spectrum)

    def size(self, change: Tensor) -> Tensor:
        return change.norm(dim=1)

    def direction(self, gradient: Tensor) -> Tensor:
        return gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)

    def slope(self, gradient: Tensor) -> Tensor:
        return gradient.norm(dim=1)

    def draw(self, budget: Tensor, noise: Streams) -> Tensor:
        change = noise.normal(self.dimension) * self.band.inside.flatten().repeat(self.channels)
        return change * (budget / change.norm(dim=1))[:, None]

    def limit(self) -> Tensor:
        """With `box` the whole range, every value moved from black to white; otherwise a hundred times as much."""
        limit = math.sqrt(self.clean[0].numel()) * (1.0 if self.has_images else BEYOND)
        return torch.full((len(self.clean),), limit, device=self.clean.device)
