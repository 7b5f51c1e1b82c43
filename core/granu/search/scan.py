"""Searches along given directions (`Space.rays`), for spaces of few dimensions and changes without a gradient.

The sizes that are tried for an image do not depend on `steps`, which only says after how many of them to stop, so more
steps never give a worse result.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from granu.search.state import SearchState

ROUNDS = (16, 32)  # sizes up to the limit; the second round looks between those of the first
HALVINGS = 7  # of the gap below the first size that reached the criterion


def scan_smallest(state: SearchState, rays: Tensor, limit: Tensor, *, steps: int) -> None:
    """Update `state` with the smallest change along `rays` (R, D), up to `limit` (B,); `steps` sizes at most per image.

    Each round tries its sizes from small to large, below what was found before, until one reaches the criterion along
    some rays, then halves the gap below it along these.
    """
    left = torch.full_like(state.forward, steps)
    for number, count in enumerate(ROUNDS):
        hit = torch.full_like(limit, torch.inf)
        along = torch.zeros(len(rays), len(limit), dtype=torch.bool, device=limit.device)  # rays that reached it
        for k in range(1, count + 1):
            if number and k % 2 == 0:
                continue  # tried in the first round
            size = limit * k / count
            which = (left > 0) & hit.isinf() & (size < state.size)
            reached = _try(state, rays, which.expand_as(along), size)
            along |= reached
            hit = torch.where(reached.any(dim=0), size, hit)
            left -= which.int()
        low, high = hit - limit / count, hit
        for _ in range(HALVINGS):
            middle, which = (low + high) / 2, hit.isfinite() & (left > 0)
            reached_any = _try(state, rays, along & which, middle).any(dim=0)
            high = torch.where(which & reached_any, middle, high)
            low = torch.where(which & ~reached_any, middle, low)
            left -= which.int()


def scan_worst(state: SearchState, rays: Tensor, budget: Tensor, *, steps: int) -> None:
    """Spend at most `budget` (A,) on each active image, at `steps` sizes; one that reaches the criterion leaves.

    An image that never does keeps the change under which its label led least.
    """
    weakest = torch.full_like(state.size, torch.inf)
    state.activate(torch.ones_like(state.found), budget=budget)
    for share in _halves(steps):
        for ray in rays:
            if not len(state.active):
                return
            change = ray * (share * state.working.budget)[:, None]
            objective = _objective(state, change)
            reached = objective < -state.criterion.margin
            state.update(change, state.space.size(change), reached)
            weaker = ~reached & (objective < weakest[state.active])
            state.change[state.active[weaker]] = change[weaker]
            weakest[state.active[weaker]] = objective[weaker]
            state.narrow(~reached)


def _try(state: SearchState, rays: Tensor, which: Tensor, size: Tensor) -> Tensor:
    """(R, B) bool: where a change of `size` (B,) along a ray reaches the criterion; tried for `which` (R, B)."""
    reached = torch.zeros_like(which)
    for ray, mine, found in zip(rays, which, reached, strict=True):
        if not mine.any():
            continue
        state.activate(mine, size=size)
        change = ray * state.working.size[:, None]
        hit = state.judge(change)
        state.update(change, state.space.size(change), hit)
        found[state.active] = hit
    return reached


def _objective(state: SearchState, change: Tensor) -> Tensor:
    """(A,) the criterion's objective at a change, as the core will judge it."""
    state.count(forward=1)
    with torch.no_grad():
        return state.criterion.objective(state.judged_logits(change))


def _halves(count: int) -> Iterator[float]:
    """Yield `count` shares in (0, 1]: 1, 1/2, 1/4, 3/4, 1/8, 3/8, ..., each halfway between earlier ones."""
    yield 1.0
    parts = 2
    while True:
        for part in range(1, parts, 2):
            count -= 1
            if count <= 0:
                return
            yield part / parts
        parts *= 2
