"""Images of a hardening: those that train, and three sets to measure on, none of which shares an image with another.

A generator draws others for each purpose. A dataset is divided by a permutation that the seed alone says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from granu.errors import DataError
from granu.hardening.plan import HardenPlan
from granu.plugins.catalog import Resolved
from granu.training.data import permutation
from granu.types import Dataset

if TYPE_CHECKING:
    from granu.plugins.context import BuildContext

CHOICE, VERDICT, REPORT = range(3)  # to find the weakest change by, to judge a training by, to report
PHASES = 3


class PartOfDataset:
    """Some images of a dataset, by position."""

    def __init__(self, dataset: Dataset, positions: Sequence[int]) -> None:
        self.dataset, self.positions = dataset, positions
        self.classes, self.named = dataset.classes, getattr(dataset, "named", True)

    def __len__(self) -> int:
        return len(self.positions)

    def image_id(self, index: int) -> str:
        """The dataset's own name of the image."""
        return self.dataset.image_id(self.positions[index])

    def read(self, index: int) -> tuple[Tensor, int]:
        """Image (C, H, W) in [0, 1] and its class number."""
        return self.dataset.read(self.positions[index])


@dataclass(frozen=True)
class MakePart:
    """The `make` of an offer for a part of what another `make` builds; `part` counts from 0, the last one trains."""

    make: Any
    sizes: tuple[int, ...]  # of the parts before the last, which takes the rest
    part: int
    seed: int

    def __call__(self, options: Any, context: BuildContext) -> PartOfDataset:
        dataset = self.make(options, context)
        order = permutation(len(dataset), self.seed)
        start = sum(self.sizes[: self.part])
        end = start + self.sizes[self.part] if self.part < len(self.sizes) else len(order)
        return PartOfDataset(dataset, sorted(order[start:end]))


@dataclass(frozen=True)
class Images:
    """The images that train, and those that each phase measures on."""

    training: Resolved
    measured: tuple[Resolved, Resolved, Resolved]


def divide(plan: HardenPlan, context: BuildContext) -> Images:
    """Divide the plan's images. DataError where a dataset holds too few of them."""
    source = plan.val or plan.data
    if source.offer.kind != "dataset":
        return Images(plan.data, (source, source, source))
    total, needed = len(context.make(source)), plan.settings.count
    shares = PHASES if plan.val else PHASES + 2  # where they train as well, at least as many as two sets do so
    if total < shares * needed:
        raise DataError(
            f"`{source.spec}` holds {total} images, and {PHASES} sets of {needed} to measure on"
            f"{'' if plan.val else ', with as many as two of them to train on,'} need {shares * needed}; "
            f"give --count {max(5, total // shares)} or more images"
        )
    size = min(max(needed, plan.settings.clean_images), total // shares)
    sizes = (size,) * PHASES
    parts = [_part(source, MakePart(source.offer.make, sizes, part, plan.settings.seed)) for part in range(PHASES + 1)]
    return Images(plan.data if plan.val else parts[PHASES], (parts[CHOICE], parts[VERDICT], parts[REPORT]))


def phase_seed(plan: HardenPlan, phase: int) -> int:
    """The seed of a phase: no two phases draw the same images, whatever the seeds of two hardenings."""
    return PHASES * plan.settings.seed + phase


def _part(source: Resolved, make: MakePart) -> Resolved:
    return replace(source, entry=replace(source.entry, offer=replace(source.offer, make=make)))
