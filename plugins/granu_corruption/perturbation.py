"""The perturbation `corruption`: at fixed severities, or a space in which searches find the smallest severity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from granu import Batch, Classifier, Criterion, ImageEvidence, Proposal, Space, Streams
from granu_corruption import CorruptionOptions
from granu_corruption.corruptions import corrupt
from granu_corruption.tables import SEVEREST

UNIT = "severity"


class FixedCorruption:
    """One corruption at each of some severities, without a search; the core judges all of them."""

    unit = UNIT

    def __init__(self, name: str, severities: Sequence[float], table: str) -> None:
        self.name, self.severities, self.table = name, sorted(set(severities)), table

    def perturb(self, classifier: Classifier, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        """Evidence at each severity, from the same random numbers."""
        levels = {level: ImageEvidence(self._corrupted(batch, level, noise)) for level in self.severities}
        severest = torch.full((len(batch.ids),), self.severities[-1], device=batch.images.device)
        passes = torch.full_like(severest, len(levels), dtype=torch.int64)
        return Proposal(
            evidence=levels[self.severities[-1]],
            size=severest,
            tried=severest,
            forward=passes,
            backward=torch.zeros_like(passes),
            notes=(None,) * len(batch.ids),
            levels=levels,
        )

    def _corrupted(self, batch: Batch, level: float, noise: Streams) -> Tensor:
        severity = torch.full((len(batch.ids),), level, device=batch.images.device)
        return corrupt(self.name, batch.images, severity, noise, self.table)


class CorruptionSpace(Space):
    """A change is a severity, (B, 1), in [0, 5]; the random numbers of an image are the same at every severity."""

    unit = UNIT
    largest = SEVEREST
    differentiable = False

    def __init__(self, classifier: Classifier, clean: Tensor, name: str, table: str, noise: Streams) -> None:
        super().__init__(classifier, clean, 1)
        self.name, self.table, self.noise = name, table, noise

    def images(self, change: Tensor) -> Tensor:
        with torch.no_grad():
            return corrupt(self.name, self.clean, change[:, 0], self.noise, self.table)

    def draw(self, budget: Tensor, noise: Streams) -> Tensor:
        """The severity `budget` (B,) itself: what is random is drawn from the space's own streams."""
        return budget[:, None]

    def rays(self) -> Tensor:
        return torch.ones(1, 1, device=self.clean.device)

    def select(self, index: Tensor) -> Self:
        chosen = super().select(index)
        chosen.noise = self.noise.select(index)
        return chosen


class SearchedCorruption:
    """One corruption whose severity is searched."""

    unit = UNIT

    def __init__(self, options: CorruptionOptions) -> None:
        self.options = options

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        """The space of severities of this batch."""
        return CorruptionSpace(classifier, batch.images, self.options.name, self.options.table, noise)
