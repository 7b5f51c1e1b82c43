"""`search=random`: random changes of a given size, which tell what chance alone does."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

from torch import Tensor

from granu.search.base import Search, spendable
from granu.search.options import RandomOptions
from granu.search.state import SearchState


class Random(Search[RandomOptions]):
    """Up to `steps` random changes of size `budget`; an image whose evidence reaches the criterion leaves."""

    options = RandomOptions
    spends_budget = True

    def search(self, state: SearchState) -> Mapping[str, Tensor]:
        state.working = SimpleNamespace(budget=spendable(state.space, self.chosen.budget))
        for _ in range(self.chosen.steps):
            if not len(state.active):
                break
            assert state.streams is not None  # Search.run hands them in
            space, budget = state.space, state.working.budget
            change = space.within(space.draw(budget, state.streams), budget)
            reached = state.judge(change)
            state.change[state.active] = change
            state.update(change, space.size(change), reached)
            state.narrow(~reached)
        return {}
