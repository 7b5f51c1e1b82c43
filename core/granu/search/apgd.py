"""Auto-PGD (Croce and Hein 2020, algorithm 1) in any space: momentum, and steps that halve where progress stops."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor

from granu.search.state import Objective, SearchState, unusable

FIRST_STEP = 2.0  # in budgets
MOMENTUM = 0.75  # share of the new step in the next change; the rest continues the step before
IMPROVING = 0.75  # share of the steps of a period that must improve on the one before, else the step is halved
FIRST_PERIOD, SHORTER, SHORTEST = 0.22, 0.03, 0.06  # periods between checkpoints, in shares of all steps


def auto_pgd(
    state: SearchState,
    budget: Tensor,
    *,
    steps: int,
    start: Tensor,
    objective: Objective,
    visit: Callable[[SearchState], None],
    **working: Tensor,
) -> None:
    """Drive the objective down within `budget` (A,) from `start` (A, D), in `steps` + 1 gradient passes at most.

    `visit` is called at every change (`state.working.x`) with the `objective`, `gradient` and `logits` there; it may
    update and narrow the state. An image whose gradient gives no direction leaves. `working` are further tensors of
    the active images, (A, ...) each.
    """
    never = torch.full_like(budget, torch.inf)
    state.working = SimpleNamespace(
        x=start,
        x_before=start,
        budget=budget,
        step_size=FIRST_STEP * budget,
        x_best=start,
        gradient_best=torch.zeros_like(start),
        least=never,  # the objective at x_best
        least_at_checkpoint=never,
        objective_before=never,
        improved=torch.zeros_like(budget),  # steps of this period
        halved=torch.ones_like(budget, dtype=torch.bool),  # at the last checkpoint
        **working,
    )
    work, period, left = state.working, _steps(FIRST_PERIOD, steps), _steps(FIRST_PERIOD, steps)
    for step in range(steps + 1):
        work.objective, work.gradient, work.logits = state.differentiate(work.x, objective)
        visit(state)
        state.narrow(~unusable(work.gradient))
        if step == steps or not len(state.active):
            return
        _remember(state)
        if left == 0:
            _checkpoint(state, period)
            period = left = max(period - _steps(SHORTER, steps), _steps(SHORTEST, steps))
        left -= 1
        _move(state, 1.0 if step == 0 else MOMENTUM)


def _steps(share: float, steps: int) -> int:
    return max(int(share * steps), 1)


def _remember(state: SearchState) -> None:
    """Keep the best change with its gradient, and count the steps that improved on the one before."""
    work = state.working
    better = work.objective < work.least
    work.least = torch.where(better, work.objective, work.least)
    work.x_best = torch.where(better[:, None], work.x, work.x_best)
    work.gradient_best = torch.where(better[:, None], work.gradient, work.gradient_best)
    work.improved = work.improved + (work.objective < work.objective_before)
    work.objective_before = work.objective


def _checkpoint(state: SearchState, period: int) -> None:
    """Halve the step size and return to the best change where too few steps improved, or none on the best."""
    work = state.working
    stalled = (work.improved < IMPROVING * period) | (~work.halved & (work.least >= work.least_at_checkpoint))
    work.step_size = torch.where(stalled, work.step_size / 2, work.step_size)
    work.x = torch.where(stalled[:, None], work.x_best, work.x)
    work.gradient = torch.where(stalled[:, None], work.gradient_best, work.gradient)
    work.halved, work.least_at_checkpoint = stalled, work.least
    work.improved = torch.zeros_like(work.improved)


def _move(state: SearchState, share: float) -> None:
    """Step along the gradient; `share` of the step is new, the rest continues the one before."""
    work, space, x = state.working, state.space, state.working.x
    ahead = space.within(x - work.step_size[:, None] * space.direction(work.gradient), work.budget)
    work.x = space.within(x + share * (ahead - x) + (1 - share) * (x - work.x_before), work.budget)
    work.x_before = x
