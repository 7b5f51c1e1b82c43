"""A perturbation made of two separate things: a space of changes, and a search in it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from granu.search.dunn2020 import dunn2020
from granu.search.options import SearchOptions
from granu.search.random import random
from granu.search.smallest import smallest
from granu.search.state import SearchState
from granu.search.worst import worst
from granu.streams import Streams
from granu.types import Batch, Classifier, Criterion, ImageEvidence, Proposal, Space, SpaceFactory


class SearchedPerturbation:
    """Opens a perturbation's space and searches it as the options say.

    With `low_precision` gradient passes run in bfloat16; what is kept and judged is computed in float32 all the same.
    """

    def __init__(self, space_factory: SpaceFactory, options: SearchOptions, low_precision: bool = False) -> None:
        self.space_factory, self.options, self.low_precision = space_factory, options, low_precision
        self.unit = space_factory.unit

    def perturb(self, classifier: Classifier, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        """Search, then draw the control: a random change of the size that was found."""
        space = self.space_factory.open(classifier, batch, noise.scope("space"))
        space.low_precision = self.low_precision
        criterion = replace(criterion, margin=self.options.lead)
        state, extra = self._search(space, criterion, noise.scope("search"))
        found = state.found
        with torch.no_grad():
            images = space.images(state.change)
            control = None
            if self.options.search in ("smallest", "dunn2020"):
                size = torch.where(found, state.size, 0.0)
                control = space.images(space.within(space.draw(size, noise.scope("control")), size))
        return Proposal(
            evidence=ImageEvidence(images),
            size=torch.where(found, state.size, space.size(state.change)),
            tried=state.tried,
            forward=state.forward,
            backward=state.backward,
            notes=tuple(state.notes),
            control=None if control is None else ImageEvidence(control),
            extra=extra,
        )

    def _search(self, space: Space, criterion: Criterion, noise: Streams) -> tuple[SearchState, dict[str, Tensor]]:
        options, limit = self.options, space.limit()
        if options.search in ("smallest", "dunn2020"):
            if options.limit is not None:
                limit = limit.clamp_max(options.limit)
            if options.search == "smallest":
                return smallest(
                    space, criterion, steps=options.passes, limit=limit, deepfool_init=options.deepfool_init
                )
            state, bound_steps = dunn2020(space, criterion, noise, steps=options.passes, limit=limit)
            return state, {"bound_steps": bound_steps}
        assert options.budget is not None  # SearchOptions.check
        budget = torch.full_like(limit, options.budget)
        if options.search == "worst":
            return worst(space, criterion, steps=options.passes, budget=budget), {}
        return random(space, criterion, noise, draws=options.passes, budget=budget), {}
