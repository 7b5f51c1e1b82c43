"""A perturbation made of two separate things: a space of changes, and a search in it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from granu.search.ledger import Ledger
from granu.search.options import SearchOptions
from granu.search.paper import paper
from granu.search.random import random
from granu.search.smallest import smallest
from granu.search.worst import worst
from granu.streams import Streams
from granu.types import Batch, Classifier, Goal, Perturbed, Searchable, Space


class Searched:
    """Opens a perturbation's space and searches it as the options say.

    With `low_precision` gradient passes run in bfloat16; what is kept and judged is computed in float32 all the same.
    """

    def __init__(self, searchable: Searchable, options: SearchOptions, low_precision: bool = False) -> None:
        self.searchable, self.options, self.low_precision = searchable, options, low_precision
        self.unit = searchable.unit

    def perturb(self, classifier: Classifier, batch: Batch, goal: Goal, noise: Streams) -> Perturbed:
        """Search, then draw the control: a random change of the size that was found."""
        space = self.searchable.open(classifier, batch, noise.scope("space"))
        space.low_precision = self.low_precision
        goal = replace(goal, margin=self.options.lead)
        ledger, extra = self._search(space, goal, noise.scope("search"))
        found = ledger.found
        with torch.no_grad():
            pictures = space.pictures(ledger.change)
            control = None
            if self.options.search in ("smallest", "paper"):
                size = torch.where(found, ledger.size, 0.0)
                control = space.pictures(space.within(space.draw(size, noise.scope("control")), size))
        return Perturbed(
            pictures=pictures,
            size=torch.where(found, ledger.size, space.size(ledger.change)),
            tried=ledger.tried,
            forward=ledger.forward,
            backward=ledger.backward,
            notes=tuple(ledger.notes),
            control=control,
            extra=extra,
        )

    def _search(self, space: Space, goal: Goal, noise: Streams) -> tuple[Ledger, dict[str, Tensor]]:
        options, limit = self.options, space.limit()
        if options.search in ("smallest", "paper"):
            if options.limit is not None:
                limit = limit.clamp_max(options.limit)
            if options.search == "smallest":
                return smallest(space, goal, steps=options.passes, limit=limit, walk=options.walk)
            ledger, bound_steps = paper(space, goal, noise, steps=options.passes, limit=limit)
            return ledger, {"bound_steps": bound_steps}
        assert options.budget is not None  # SearchOptions.check
        budget = torch.full_like(limit, options.budget)
        if options.search == "worst":
            return worst(space, goal, steps=options.passes, budget=budget), {}
        return random(space, goal, noise, draws=options.passes, budget=budget), {}
