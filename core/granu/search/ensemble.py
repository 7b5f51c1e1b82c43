"""The runs that make up `search=worst`, and what each effort consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from granu.search.apgd import auto_pgd
from granu.search.fab import from_far
from granu.search.objectives import cross_entropy, lead_over, logits_ratio, margin
from granu.search.random_search import random_search
from granu.search.state import NO_GRADIENT, Objective, SearchState, unusable
from granu.types import Criterion

WHOLE = 0.999  # of the budget: a change that is larger is not judged at its own size as well

OBJECTIVES: Mapping[str, Objective] = {"ce": cross_entropy, "margin": margin, "dlr": logits_ratio}


@dataclass(frozen=True)
class Descent:
    """Auto-PGD from a random change."""

    objective: str  # ce, margin or dlr
    steps: int


@dataclass(frozen=True)
class Targeted:
    """Auto-PGD towards one class after the other, those that lead at the clean image first."""

    classes: int
    steps: int


@dataclass(frozen=True)
class FromFar:
    """FAB from a far crossing, then Auto-PGD on the margin from the nearest crossing."""

    steps: int
    descent: int


Run = Descent | Targeted | FromFar


@dataclass(frozen=True)
class Effort:
    """One after the other on what still holds; `sizes` are those tried along each ray of a space that has rays."""

    runs: tuple[Run, ...]
    trials: int  # of the random search, at the end
    sizes: int


EFFORTS: Mapping[str, Effort] = {
    "quick": Effort((Descent("ce", 20), FromFar(30, 10)), trials=10, sizes=10),
    "standard": Effort(
        (
            Descent("ce", 25),
            FromFar(60, 25),
            Descent("margin", 25),
            Targeted(3, 25),
            FromFar(100, 25),
            FromFar(60, 25),
            Descent("ce", 50),
        ),
        trials=100,
        sizes=40,
    ),
    "thorough": Effort(
        (
            Descent("ce", 100),
            FromFar(80, 50),
            Descent("margin", 100),
            Targeted(9, 50),
            FromFar(80, 50),
            Descent("dlr", 100),
            FromFar(160, 50),
            FromFar(160, 50),
            Descent("ce", 100),
        ),
        trials=1000,
        sizes=160,
    ),
}


class Ensemble:
    """Runs on the images of a state that still hold, within `budget` (B,), and the best change of each.

    An image that no run changes enough keeps the change under which its label led least. Random numbers belong to
    images and runs, so that an image's results do not depend on the others.
    """

    def __init__(self, state: SearchState, budget: Tensor) -> None:
        assert state.streams is not None  # Search.run hands them in
        self.state, self.budget, self.streams = state, budget, state.streams
        self.weakest = torch.full_like(budget, torch.inf)
        self.differentiated = torch.zeros_like(budget, dtype=torch.bool)  # with a usable gradient, at some change
        self.number = 0

    def run(self, run: Run) -> None:
        """One run, on what still holds."""
        match run:
            case Descent(objective, steps):
                if self._continue():
                    self._descend(OBJECTIVES[objective], steps, self._random())
            case Targeted(classes, steps):
                self._target(classes, steps)
            case FromFar(steps, descent):
                if self._continue():
                    nearest = from_far(self.state, self._budget(), steps=steps, visit=self._visit)
                    if self._continue():
                        start = self.state.space.within(nearest[self.state.active], self._budget())
                        self._descend(margin, descent, start)

    def search_at_random(self, trials: int) -> None:
        """Random search on what still holds, from the best changes known."""
        if self._continue():
            best = self.state.change[self.state.active]
            start = torch.where((best == 0).all(dim=1, keepdim=True), self._random(), best)
            random_search(self.state, self._budget(), trials=trials, start=start)

    def note_masked(self) -> None:
        """Note the images that hold and had no usable gradient at any change."""
        self.state.activate(~self.state.found)
        self.state.mark_failed(~self.differentiated[self.state.active], NO_GRADIENT)

    def _continue(self) -> bool:
        """Activate what still holds, with streams of their own for what comes next; False if nothing does."""
        self.number += 1
        self.state.activate(~self.state.found)
        index = self.state.active
        self.state.streams = self.streams.select(index).scope(str(self.number))
        return len(index) > 0

    def _budget(self) -> Tensor:
        return self.budget[self.state.active]

    def _random(self) -> Tensor:
        """Random changes of the size of the budget, (A, D)."""
        assert self.state.streams is not None
        return self.state.space.within(self.state.space.draw(self._budget(), self.state.streams), self._budget())

    def _descend(self, objective: Objective, steps: int, start: Tensor, **working: Tensor) -> None:
        auto_pgd(
            self.state,
            self._budget(),
            steps=steps,
            start=start,
            objective=objective,
            visit=self._visit,
            **working,
        )

    def _target(self, classes: int, steps: int) -> None:
        """Auto-PGD towards the leading classes, in turn."""
        if not self._continue():
            return
        logits = self._clean_logits()
        others = logits.scatter(1, self.state.criterion.labels[:, None], -torch.inf)
        ranked = others.topk(min(classes, others.shape[1] - 1), dim=1).indices  # (A, R)
        targets = torch.zeros(len(self.budget), ranked.shape[1], dtype=torch.int64, device=ranked.device)
        targets[self.state.active] = ranked
        for rank in range(ranked.shape[1]):
            if not self._continue():
                return
            self._descend(partial(_towards, self.state), steps, self._random(), target=targets[self.state.active, rank])

    def _clean_logits(self) -> Tensor:
        self.state.count(forward=1)
        with torch.no_grad():
            return self.state.logits(self.state.space.start())

    def _visit(self, state: SearchState) -> None:
        """Judge what crosses within the budget, first at the whole budget; keep what reaches, which leaves."""
        work, space = state.working, state.space
        lead, size = state.criterion.objective(work.logits), space.size(work.x)
        self.differentiated[state.active] |= ~unusable(work.gradient)
        inside = size <= work.budget * (1 + 1e-5)
        weaker = inside & (lead < self.weakest[state.active])
        state.change[state.active[weaker]] = work.x[weaker]
        self.weakest[state.active[weaker]] = lead[weaker]
        crossed = inside & (lead < -state.criterion.margin)
        whole = space.within(work.x * (work.budget / size.clamp_min(1e-30)).clamp_min(1)[:, None], work.budget)
        reached = state.judge(whole, crossed)
        state.update(whole, space.size(whole), reached)
        shorter = crossed & ~reached & (size < WHOLE * work.budget)
        also = state.judge(work.x, shorter)
        state.update(work.x, size, also)
        state.narrow(~reached & ~also)


def _towards(state: SearchState, logits: Tensor, criterion: Criterion) -> Tensor:
    return lead_over(logits, criterion, state.working.target)
