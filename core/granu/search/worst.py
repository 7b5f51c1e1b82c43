"""`search=worst`: the worst change of a given size by an ensemble, in the manner of AutoAttack (Croce and Hein 2020).

Section 4 of the paper, in any space: Auto-PGD with several objectives and targets, FAB, and a random search, each on
what the others left. Differences: the verdict is on what the core judges, so that a change which rounding undoes is no
success; FAB starts on the far side of the boundary; and effort is three words instead of an attack's every number.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from granu.search.base import Search, spendable
from granu.search.ensemble import EFFORTS, Ensemble
from granu.search.options import WorstOptions
from granu.search.scan import scan_worst
from granu.search.state import SearchState


class Worst(Search[WorstOptions]):
    """The worst change of at most `budget`."""

    options = WorstOptions
    spends_budget = True

    def search(self, state: SearchState) -> Mapping[str, Tensor]:
        effort, budget = EFFORTS[self.chosen.effort], spendable(state.space, self.chosen.budget)
        if (rays := state.space.rays()) is not None:
            scan_worst(state, rays, budget, steps=effort.sizes)
            return {}
        ensemble = Ensemble(state, budget)
        follows_gradients = state.space.differentiable and self.chosen.gradients
        if follows_gradients:
            for run in effort.runs:
                ensemble.run(run)
        ensemble.search_at_random(effort.trials)
        if follows_gradients:
            ensemble.note_masked()
        state.tried.fill_(self.chosen.budget)
        return {}
