"""A perturbation made of two separate things: a space of changes, and a search in it."""

from __future__ import annotations

from typing import Any

import torch

from granu.search.base import Search
from granu.search.result import SearchResult
from granu.streams import Streams
from granu.types import Batch, Classifier, Criterion, Evidence, Proposal, Space, SpaceFactory


class SearchedPerturbation:
    """Open a perturbation's space and search it.

    With `low_precision` gradient passes run in bfloat16; the evidence and its verdict are computed in float32.
    """

    def __init__(self, space_factory: SpaceFactory, search: Search[Any], low_precision: bool = False) -> None:
        self.space_factory, self.search, self.low_precision = space_factory, search, low_precision
        self.unit = space_factory.unit

    def perturb(self, classifier: Classifier, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        """Search, then draw the control: a random change of the size that was found."""
        space = self.space_factory.open(classifier, batch, noise.scope("space"))
        space.low_precision = self.low_precision
        result = self.search.run(space, criterion, noise.scope("search"))
        with torch.no_grad():
            evidence = space.evidence(result.change)
            alike = self.search.spends_budget or _has_one_dimension(space)
            control = None if alike else _control(space, result, noise.scope("control"))
        return Proposal(
            evidence=evidence,
            size=torch.where(result.found, result.size, space.size(result.change)),
            tried=result.tried,
            forward=result.forward,
            backward=result.backward,
            notes=result.notes,
            control=control,
            extra=result.extra,
        )


def _has_one_dimension(space: Space) -> bool:
    """True if a random change of a size is the change that was found, or the only other one."""
    rays = space.rays()
    return rays is not None and rays.shape[1] == 1


def _control(space: Space, result: SearchResult, noise: Streams) -> Evidence:
    size = torch.where(result.found, result.size, 0.0)
    return space.evidence(space.within(space.draw(size, noise), size))
