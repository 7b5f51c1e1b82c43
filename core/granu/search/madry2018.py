"""`search=pgd`: the worst change of a given size by projected gradient descent (Madry et al. 2018) alone.

The attack of adversarial training, which is cheap and misses much on classifiers that were trained against it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from granu.search.base import Search, spendable
from granu.search.options import PgdOptions
from granu.search.pgd import projected_gradient_descent
from granu.search.scan import scan_worst
from granu.search.state import NO_GRADIENT, SearchState, unusable


class Pgd(Search[PgdOptions]):
    """The worst change of at most `budget` that one descent from zero finds."""

    options = PgdOptions
    spends_budget = True

    def search(self, state: SearchState) -> Mapping[str, Tensor]:
        budget = spendable(state.space, self.chosen.budget)
        if (rays := state.space.rays()) is not None:
            scan_worst(state, rays, budget, steps=self.chosen.steps)
        else:
            spend(state, budget, steps=self.chosen.steps)
        return {}


def spend(state: SearchState, budget: Tensor, *, steps: int) -> None:
    """Spend `budget` (A,) on each active image; one whose evidence reaches the criterion leaves.

    An image that never does keeps the change under which its label led least.
    """
    weakest = torch.full_like(state.size, torch.inf)

    def visit(state: SearchState) -> None:
        work = state.working
        stuck, reached = unusable(work.gradient), work.objective < -state.criterion.margin
        if reached.any():
            reached = reached & state.judge(work.x)
        state.update(work.x, state.space.size(work.x), reached)
        weaker = ~reached & (work.objective < weakest[state.active])
        state.change[state.active[weaker]] = work.x[weaker]
        weakest[state.active[weaker]] = work.objective[weaker]
        state.mark_failed(stuck, NO_GRADIENT)
        state.narrow(~stuck & ~reached)

    projected_gradient_descent(state, budget, steps=steps, visit=visit)
