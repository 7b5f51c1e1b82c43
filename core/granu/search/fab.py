"""From a far crossing back to the boundary: FAB (Croce and Hein 2020, arXiv:1907.02044, algorithm 1) in any space.

Where training has masked the gradients around an image, those on the far side of the boundary still point the way.

Differences from the paper: it starts from random changes, pulled back along their rays to the boundary, and not from
the image; boundaries of all classes count as one; projections onto a hyperplane are taken by the space, and where the
range of images cuts them short, steps are scaled up.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor

from granu.search.state import SearchState, unusable

DRAWS = 4  # random changes of the largest size, of which the first that crosses is the start
HALVINGS = 8  # of its length
OVERSHOOT = 1.05
TOWARDS_CLEAN = 0.1  # largest weight of the projection of the clean image
BACK = 0.9  # what is left of a change that crossed
LENGTHENINGS = 4  # of a step that the range of images cuts short
LONGEST = 1e3  # by which a step is scaled up at once
CLOSE = 1.01  # a step that falls short by less is not scaled up


def from_far(state: SearchState, budget: Tensor, *, steps: int, visit: Callable[[SearchState], None]) -> Tensor:
    """Follow the boundary inwards, in `steps` gradient passes; the smallest changes (B, D) that crossed.

    `budget` (A,) is of the active images. `visit` is called as by `auto_pgd`; the changes (`state.working.x`) may be
    larger than the budget. Where nothing crossed, the change that is returned is the start.
    """
    limit = state.space.limit().maximum(budget)
    start = _start(state, budget, limit)
    nearest = torch.zeros(len(state.found), start.shape[1], device=start.device)
    nearest[state.active] = start
    state.working = SimpleNamespace(x=start, budget=budget, limit=limit, smallest=torch.full_like(budget, torch.inf))
    work = state.working
    for _ in range(steps):
        work.objective, work.gradient, work.logits = state.differentiate(work.x)
        size = state.space.size(work.x)
        work.crossed = work.objective < -state.criterion.margin
        nearer = work.crossed & (size < work.smallest)
        work.smallest = torch.where(nearer, size, work.smallest)
        nearest[state.active[nearer]] = work.x[nearer]
        visit(state)
        state.narrow(~unusable(work.gradient))
        if not len(state.active):
            break
        _follow(state)
    return nearest


def _start(state: SearchState, budget: Tensor, limit: Tensor) -> Tensor:
    """Random changes (A, D) just behind the boundary; within the budget where none of the limit's size crossed."""
    assert state.streams is not None  # Search.run hands them in
    space, streams = state.space, state.streams
    x = space.within(space.draw(budget, streams), budget)
    crossed = torch.zeros_like(budget, dtype=torch.bool)
    for _ in range(DRAWS):
        far = space.within(space.draw(limit, streams), limit)
        first = _crosses(state, far, ~crossed)
        x = torch.where(first[:, None], far, x)
        crossed = crossed | first
    low, high = torch.zeros_like(budget), torch.ones_like(budget)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        reached = _crosses(state, middle[:, None] * x, crossed)
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return torch.where(crossed[:, None], high[:, None] * x, x)


def _crosses(state: SearchState, change: Tensor, which: Tensor) -> Tensor:
    """(A,) bool: true where a change (A, D) crosses, of the images `which` (A,) bool; no passes for the others."""
    crossed = torch.zeros_like(which)
    index = which.nonzero().squeeze(1)
    if len(index):
        state.count(forward=which.long())
        with torch.no_grad():
            logits = state.space.select(index).logits(change[index])
        criterion = state.criterion.select(index)
        crossed[index] = criterion.reached(criterion.joint_logits(logits))
    return crossed


def _follow(state: SearchState) -> None:
    """Step over the linearised boundary, a little towards where it is nearest to the clean image; then back inwards."""
    work, space = state.working, state.space
    gap = work.objective + state.criterion.margin  # (A,) to the boundary, negative behind it
    clean = torch.zeros_like(work.x)
    gap_clean = gap - (work.gradient * work.x).sum(dim=1)  # of the linearisation
    projected = _descend(state, work.x, OVERSHOOT * gap)
    projected_clean = _descend(state, clean, OVERSHOOT * gap_clean)
    near, far = space.size(projected - work.x), space.size(projected_clean)
    weight = (near / (near + far).clamp_min(1e-12)).clamp_max(TOWARDS_CLEAN)
    weight = torch.where(gap_clean > 0, weight, 0.0)[:, None]
    x = space.within((1 - weight) * projected + weight * projected_clean, work.limit)
    work.x = torch.where(work.crossed[:, None], BACK * work.x, x)


def _descend(state: SearchState, x: Tensor, drop: Tensor) -> Tensor:
    """The change near `x` (A, D) at which the linearised objective is lower by `drop` (A,), as far as possible."""
    work, space = state.working, state.space
    direction = space.direction(work.gradient)
    length = drop / (work.gradient * direction).sum(dim=1).clamp_min(1e-30)
    moved = space.within(x - length[:, None] * direction, work.limit)
    for _ in range(LENGTHENINGS):
        achieved = (work.gradient * (x - moved)).sum(dim=1)
        ratio = torch.where(achieved * drop > 0, drop / achieved, LONGEST).clamp(1, LONGEST)
        ratio = torch.where(ratio < CLOSE, 1.0, ratio)  # so that an image does not depend on the others
        if (ratio == 1).all():
            break
        length = length * ratio
        moved = space.within(x - length[:, None] * direction, work.limit)
    return moved
