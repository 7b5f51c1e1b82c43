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
    last: bool = True,
    step_size: Tensor | None = None,
) -> Tensor:
    """Change each image by at most `budget` (A,) to drive the objective down; the changes (A, D) of the active images.

    `start` (A, D) is within the budget; by default the zero change. `objective` defaults to the criterion's. `visit` is
    called at every change (`state.working.x`) with the `objective`, `gradient` and `logits` there; it may update and
    narrow the state. No pass is spent on the last change without it, or if it is not to visit the `last`. `step_size`
    (A,) is by default 2.5 budgets divided by the steps.
    """
    state.working = SimpleNamespace(
        x=state.space.start() if start is None else start,
        budget=budget,
        alpha=STEP * budget / steps if step_size is None else step_size,
    )
    work = state.working
    for step in range(steps + 1):
        if not len(state.active) or (step == steps and (visit is None or not last)):
            break
        work.objective, work.gradient, work.logits = state.differentiate(work.x, objective)
        if visit is not None:
            visit(state)
        if step < steps:
            space = state.space
            work.x = space.within(work.x - work.alpha[:, None] * space.direction(work.gradient), work.budget)
    return work.x
