"""The worst change at a budget: projected steps along the gradient (Madry et al. 2018, section 2.1), any norm."""

from __future__ import annotations

import torch
from torch import Tensor

from granu.search.ledger import NO_GRADIENT, Ledger, judged, objective_and_gradient, unusable
from granu.types import Goal, Space


def worst(space: Space, goal: Goal, *, steps: int, budget: Tensor) -> Ledger:
    """Spend `budget` (B,) on each picture; one that is fooled, rounded to 8 bits too, leaves the batch.

    A picture that holds keeps the change under which its label led least.
    """
    ledger = Ledger.open(space)
    x = space.start()
    weakest = torch.full_like(budget, torch.inf)
    alpha = 2.5 * budget / steps
    for t in range(steps + 1):
        if not len(ledger.active):
            break
        objective, gradient = objective_and_gradient(space, x, goal)
        ledger.count(forward=1, backward=1)
        stuck, reached = unusable(gradient), objective < -goal.margin
        if reached.any():
            ledger.count(forward=1)
            reached = reached & judged(space, x, goal)
        size = space.size(x)
        ledger.enter(x, size, reached)
        weaker = ~reached & (objective < weakest)
        ledger.change[ledger.active[weaker]] = x[weaker]
        weakest = torch.where(weaker, objective, weakest)
        ledger.fail(stuck, NO_GRADIENT)
        going = ~stuck & ~reached
        if not going.all():
            index = ledger.keep(going)
            space, goal, budget, alpha = space.select(index), goal.select(index), budget[index], alpha[index]
            x, gradient, weakest = x[index], gradient[index], weakest[index]
        if t < steps:
            x = space.within(x - alpha[:, None] * space.direction(gradient), budget)
    return ledger
