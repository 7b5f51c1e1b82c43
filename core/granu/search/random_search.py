"""Random search without gradients, in any space; at pixels in the manner of the Square Attack.

Andriushchenko et al. 2020, arXiv:1912.00049, algorithm 1. It sees what the core will judge: the quantized images. A
trial replaces a patch of the change, and is kept if the label's lead shrinks. Differences from the paper: it starts
from the best change that is known, or a random one, and under norms other than L-infinity the patch receives what a
second patch gives up.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from granu.search.state import SearchState

FIRST_SHARE = 0.8  # of the coordinates, in the first patches
HALVE_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)  # shares of all trials after which patches get smaller
HALVINGS = 12  # in the search for the length of a patch that fills the budget


def random_search(state: SearchState, budget: Tensor, *, trials: int, start: Tensor) -> None:
    """Shrink the label's lead from `start` (A, D) within `budget` (A,), by `trials` judged changes at most.

    An image whose evidence reaches the criterion leaves; one that never does keeps the change that came closest.
    """
    state.working = SimpleNamespace(x=start, trial=start, lead=torch.full_like(budget, torch.inf), budget=budget)
    work = state.working
    for number in range(trials):
        lead = _judged_lead(state, work.trial)
        better = lead < work.lead
        work.x = torch.where(better[:, None], work.trial, work.x)
        work.lead = torch.where(better, lead, work.lead)
        state.change[state.active[better]] = work.trial[better]
        reached = lead < -state.criterion.margin
        state.update(work.trial, state.space.size(work.trial), reached)
        state.narrow(~reached)
        if not len(state.active):
            return
        work.trial = _trial(state, share(number / trials))


def share(progress: float) -> float:
    """Share of the coordinates that a patch changes."""
    return FIRST_SHARE / 2 ** sum(progress > at for at in HALVE_AT)


def _judged_lead(state: SearchState, change: Tensor) -> Tensor:
    state.count(forward=1)
    with torch.no_grad():
        return state.criterion.objective(state.judged_logits(change))


def _trial(state: SearchState, size: float) -> Tensor:
    """The change with a new patch, (A, D), of the size of the budget."""
    assert state.streams is not None  # Search.run hands them in
    work, space, streams = state.working, state.space, state.streams
    patch, other = space.patch(size, streams), space.patch(size, streams)
    kept = torch.where(patch != 0, 0, work.x)
    full = kept + work.budget[:, None] * patch
    # with L-infinity a patch fits beside all others; else a second one gives up its share
    fits = space.size(full) <= work.budget * (1 + 1e-6)
    kept = torch.where(fits[:, None] | (other == 0), kept, 0)
    low, high = torch.where(fits, work.budget, 0.0), work.budget
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        small = space.size(kept + middle[:, None] * patch) <= work.budget
        low, high = torch.where(small, middle, low), torch.where(small, high, middle)
    return space.within(kept + low[:, None] * patch, work.budget)
