"""The worst change at a budget: projected steps along the gradient (Madry et al. 2018, section 2.1), any norm."""

from __future__ import annotations

import torch
from torch import Tensor

from granu.search.state import NO_GRADIENT, SearchState, judged, objective_and_gradient, unusable
from granu.types import Criterion, Space


def worst(space: Space, criterion: Criterion, *, steps: int, budget: Tensor) -> SearchState:
    """Spend `budget` (B,) on each image; one that is fooled, rounded to 8 bits too, leaves the batch.

    An image that holds keeps the change under which its label led least.
    """
    state = SearchState.start(space)
    x = space.start()
    weakest = torch.full_like(budget, torch.inf)
    alpha = 2.5 * budget / steps
    for t in range(steps + 1):
        if not len(state.active):
            break
        objective, gradient = objective_and_gradient(space, x, criterion)
        state.count(forward=1, backward=1)
        stuck, reached = unusable(gradient), objective < -criterion.margin
        if reached.any():
            state.count(forward=1)
            reached = reached & judged(space, x, criterion)
        size = space.size(x)
        state.enter(x, size, reached)
        weaker = ~reached & (objective < weakest)
        state.change[state.active[weaker]] = x[weaker]
        weakest = torch.where(weaker, objective, weakest)
        state.fail(stuck, NO_GRADIENT)
        going = ~stuck & ~reached
        if not going.all():
            index = state.keep(going)
            space, criterion, budget, alpha = space.select(index), criterion.select(index), budget[index], alpha[index]
            x, gradient, weakest = x[index], gradient[index], weakest[index]
        if t < steps:
            x = space.within(x - alpha[:, None] * space.direction(gradient), budget)
    return state
