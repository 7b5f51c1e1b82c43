"""`search=smallest`: direction and norm decoupled (Rony et al. 2019, algorithm 1), for any norm.

As in the fast minimum-norm attack (Pintor et al. 2021, section 2.1) the norm first follows the linearised boundary.
Differences: the step is a share of the present norm, so that no step size must be tuned to a unit, and an image that no
longer improves leaves the batch. Where guides must keep the label, those that lose it in the smallest change without
them are searched from there. After a DeepFool initialisation the norm follows the linearised boundary inwards too,
so that a crossing far beyond the boundary does not cost twenty steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from granu.errors import OptionError
from granu.search.base import Search, size_limit
from granu.search.deepfool import DeepFoolCandidates, deepfool
from granu.search.guides import GuidedCriterion
from granu.search.options import SmallestOptions
from granu.search.quantization import survive_quantization
from granu.search.scan import scan_smallest
from granu.search.state import NO_GRADIENT, SearchState, unusable

PATIENCE = 0.25  # share of the steps without an improvement of 0.1 % after which an image leaves
GUIDED_STEPS = (0.3, 0.1)  # first steps, as shares of the norm, of the searches with guides; each helps other images
CANDIDATES = 3  # classes whose boundaries the initialisation compares at each step


class Smallest(Search[SmallestOptions]):
    """The smallest change found within the space's limit."""

    options = SmallestOptions

    def search(self, state: SearchState) -> Mapping[str, Tensor]:
        """Returns what `survive_quantization` does: the size before quantization, and the scale it took.

        With `deepfool_init` the search begins where DeepFool crossed a boundary: smaller changes where steps are few,
        but which boundary is nearest can depend on the last digit, so results are less reproducible.
        """
        limit = size_limit(state.space, self.chosen.limit)
        if (rays := state.space.rays()) is not None:
            if self.chosen.deepfool_init:
                raise OptionError("deepfool-init needs a search that follows gradients, and this one scans sizes")
            scan_smallest(state, rays, limit, steps=self.chosen.steps)
            return {}
        if isinstance(state.criterion, GuidedCriterion):
            self._search_with_guides(state, state.criterion, limit)
        else:
            self._search_from_zero(state, limit)
        return survive_quantization(state, limit)

    def _search_from_zero(self, state: SearchState, limit: Tensor) -> None:
        x = self._start(state, limit)
        self._descend(state, torch.ones_like(state.found), x, torch.where(state.found, state.size, 0.0), limit)

    def _search_with_guides(self, state: SearchState, criterion: GuidedCriterion, limit: Tensor) -> None:
        """Search without the guides; where one of them loses the label in what was found, go on from there."""
        alone = SearchState(state.space, criterion.without_guides(), state.streams)
        self._search_from_zero(alone, limit)
        state.count(alone.forward + 1, alone.backward)
        with torch.no_grad():
            kept = alone.found & criterion.reached(state.logits(alone.change))
        state.update(alone.change, torch.where(alone.found, alone.size, alone.tried), kept)
        state.notes = alone.notes
        for first in GUIDED_STEPS:
            self._descend(state, alone.found & ~kept, alone.change, alone.size, limit, first)

    def _descend(
        self, state: SearchState, which: Tensor, x: Tensor, epsilon: Tensor, limit: Tensor, first: float = 1.0
    ) -> None:
        """Search the images `which` (B,) from changes `x` (B, D) of the norms `epsilon` (B,).

        The first step is the share `first` of the norm. With less than the whole, the norm does not follow the
        linearised boundary either: from near a label-preserving change, both lead too far.
        """
        state.activate(
            which,
            x=x,
            epsilon=epsilon,
            last=torch.full_like(limit, torch.inf),
            waited=torch.zeros_like(state.forward),
            limit=limit,
        )
        for t in range(self.chosen.steps):
            if not len(state.active):
                break
            self._visit(state)
            state.working.x = self._step(state, t, t / self.chosen.steps, first)

    def _start(self, state: SearchState, limit: Tensor) -> Tensor:
        """The changes (B, D) that the search begins with."""
        if not self.chosen.deepfool_init:
            return state.space.start()
        return deepfool(
            state, limit, steps=self.chosen.deepfool_init, classes=CANDIDATES, candidates=DeepFoolCandidates.RANKED_ANEW
        ).change

    def _visit(self, state: SearchState) -> None:
        """Take the gradient at each active change, keep what reaches the criterion, and let finished images leave."""
        work = state.working
        work.objective, work.gradient = state.gradient(work.x)
        work.size, stuck = state.space.size(work.x), unusable(work.gradient)
        work.reached = (work.objective < -state.criterion.margin) & ~stuck
        state.update(work.x, work.size, work.reached)
        state.mark_failed(stuck, NO_GRADIENT)

        work.waited = torch.where(state.best < 0.999 * work.last, 0, work.waited + 1)
        work.last = torch.where(work.waited == 0, state.best, work.last)
        state.narrow(~stuck & ((work.waited < PATIENCE * self.chosen.steps) | state.best.isinf()))

    def _step(self, state: SearchState, t: int, progress: float, first: float) -> Tensor:
        """The next change of each active image, (A, D), on a sphere of its new norm epsilon."""
        work, space, best, epsilon = state.working, state.space, state.best, state.working.epsilon
        gamma = _anneal(0.05, 0.001, progress)
        boundary = work.size + (work.objective + state.criterion.margin) / space.slope(work.gradient).clamp_min(1e-30)
        growing = boundary.clamp_min(epsilon * (1 + gamma)).minimum(2 * epsilon if t else work.limit)
        if first < 1:
            growing = epsilon * (1 + gamma)
        inward = epsilon.minimum(best) * (1 - gamma)
        if self.chosen.deepfool_init:
            inward = inward.minimum(boundary.maximum(best / 2))
        shrinking = torch.where(work.reached, inward, (epsilon * (1 + gamma)).minimum(best))
        work.epsilon = epsilon = torch.where(best.isinf(), growing, shrinking).minimum(work.limit)
        x = work.x - (_anneal(first, 0.01, progress) * epsilon)[:, None] * space.direction(work.gradient)
        # up onto the sphere by scaling, down onto it by projecting, which keeps L1 changes sparse
        return space.within(x * (epsilon / space.size(x).clamp_min(1e-30)).clamp_min(1)[:, None], epsilon)


def _anneal(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
