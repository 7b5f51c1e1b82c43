"""Projected gradient descent at a budget (Madry et al. 2018, section 2.1), in any space.

The one implementation, used by `search=pgd`, by the second search for changes that quantization undoes, and by
adversarial training.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from torch import Tensor

from granu.search.state import Objective, SearchState

STEP = 2.5  # budgets that all steps together could go, so that every corner of the ball can be reached


def projected_gradient_descent(
    state: SearchState,
    budget: Tensor,
    *,
    steps: int,
    start: Tensor | None = None,
    objective: Objective | None = None,
    visit: Callable[[SearchState], None] | None = None,
) -> Tensor:
    """Change each image by at most `budget` (A,) to drive the objective down; the changes (A, D) of the active images.

    `start` (A, D) is within the budget; by default the zero change. `objective` defaults to the criterion's. `visit` is
    called at every change (`state.working.x`), including the last, with the `objective` and `gradient` there; it may
    update and narrow the state. Without it no pass is spent on the last change.
    """
    state.working = SimpleNamespace(
        x=state.space.start() if start is None else start, budget=budget, alpha=STEP * budget / steps
    )
    work = state.working
    for step in range(steps + 1):
        if not len(state.active) or (step == steps and visit is None):
            break
        work.objective, work.gradient = state.gradient(work.x, objective)
        if visit is not None:
            visit(state)
        if step < steps:
            space = state.space
            work.x = space.within(work.x - work.alpha[:, None] * space.direction(work.gradient), work.budget)
    return work.x
