"""DeepFool: steps to the nearest linearised decision boundary (Moosavi-Dezfooli et al. 2016, algorithm 2), any space.

The one implementation: `search=deepfool` reports its distance, `search=smallest` may start from its crossing, and
plugins take the boundary's normal from it. Where it crosses decides which minimum a later search ends in.

Differences from the paper: the label is the criterion's, so an image never steps back; the overshoot is taken with each
step, which adds up to the same point; steps may have a minimum, so that rounding cannot stop them before the boundary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import SimpleNamespace

import torch
from torch import Tensor

from granu.search.base import Search, size_limit
from granu.search.options import DeepFoolOptions
from granu.search.quantization import survive_quantization
from granu.search.state import NO_GRADIENT, SearchState

OVERSHOOT = 0.02
MINIMUM_STEP = 1e-7  # of the limit: where the last steps get so short, rounding could stop them


class DeepFoolCandidates(StrEnum):
    """Choice of the classes whose boundaries are compared at a step."""

    RANKED_ANEW = "ranked anew"  # those ranked highest at this step
    FIXED = "fixed"  # those ranked highest at the first step
    NEAREST = "nearest"  # at the first step as with FIXED, then only the one that was nearest


class DeepFoolStop(IntEnum):
    """The reason why DeepFool stopped at an image."""

    CROSSED = 0
    STEPS_SPENT = 1
    ZERO_GRADIENT = 2
    NOT_FINITE = 3


@dataclass(frozen=True)
class Crossing:
    """Crossings of the nearest boundary by B images; if `stop` is not CROSSED the rest has no meaning."""

    change: Tensor  # (B, D), just behind the boundary
    normal: Tensor  # (B, D) of size 1, away from the label; zero unless normals were asked for
    stop: Tensor  # (B,) int64, a DeepFoolStop each

    @property
    def crossed(self) -> Tensor:
        """(B,) bool."""
        return self.stop == DeepFoolStop.CROSSED

    @property
    def without_gradient(self) -> Tensor:
        """(B,) bool: images at which no candidate's gradient could be used."""
        return (self.stop == DeepFoolStop.ZERO_GRADIENT) | (self.stop == DeepFoolStop.NOT_FINITE)


class DeepFool(Search[DeepFoolOptions]):
    """The distance to the nearest decision boundary, as DeepFool estimates it."""

    options = DeepFoolOptions

    def search(self, state: SearchState) -> Mapping[str, Tensor]:
        chosen, limit = self.chosen, size_limit(state.space, self.chosen.limit)
        crossing = deepfool(
            state,
            limit,
            steps=chosen.steps,
            classes=chosen.candidates,
            overshoot=chosen.overshoot,
            minimum_step=MINIMUM_STEP * limit,
        )
        state.activate(torch.ones_like(crossing.crossed))
        state.mark_failed(crossing.without_gradient, NO_GRADIENT)
        return survive_quantization(state, limit)


def deepfool(
    state: SearchState,
    limit: Tensor,
    *,
    steps: int,
    classes: int,
    candidates: DeepFoolCandidates = DeepFoolCandidates.FIXED,
    overshoot: float = OVERSHOOT,
    minimum_step: Tensor | float = 0.0,
    normals: bool = False,
) -> Crossing:
    """Take each active image across its nearest boundary within `limit` (B,), in at most `steps` linearisations.

    All images of `state` must be active; which of them still are afterwards means nothing, so `activate` those that a
    search goes on with. At each step the boundaries of at most `classes` candidate classes are compared, one gradient
    pass each; an image that has crossed costs none, unless `normals` asks for the boundary's normal there.
    `minimum_step` is in the space's unit.
    """
    state.require_gradient()
    crossing = Crossing(
        torch.zeros_like(state.change),
        torch.zeros_like(state.change),
        torch.full_like(state.active, DeepFoolStop.STEPS_SPENT),
    )
    minimum = torch.zeros_like(limit) + minimum_step
    work = state.working = SimpleNamespace(x=state.space.start(), limit=limit, minimum=minimum)
    for step in range(steps + 1):
        x = work.x.detach().requires_grad_()
        logits = state.logits(x)
        state.count(forward=1)
        work.x = x.detach()
        work.size = state.space.size(work.x)
        work.crossed = state.criterion.reached(logits.detach())
        state.update(work.x, work.size, work.crossed)
        crossing.change[state.active[work.crossed]] = work.x[work.crossed]
        crossing.stop[state.active[work.crossed]] = DeepFoolStop.CROSSED

        needed = work.crossed if step == steps else torch.ones_like(work.crossed)
        needed = needed if normals else needed & ~work.crossed
        if not needed.any():
            break
        _choose_candidates(state, logits.detach(), classes, candidates, first=step == 0)
        _compare_boundaries(state, x, logits)
        state.count(backward=work.candidates.shape[1] * needed)
        usable = work.distance.isfinite()
        if normals:
            crossing.normal[state.active[needed & usable]] = work.direction[needed & usable]
        crossing.stop[state.active[needed & ~usable]] = work.reason[needed & ~usable]
        state.narrow(~work.crossed & usable)
        if step == steps or not len(state.active):
            break
        length = (1 + overshoot) * work.distance.maximum(work.minimum)
        # projected, because some directions only point the way: this keeps L1 changes sparse
        bound = (work.size + length).minimum(work.limit)
        work.x = state.space.within(work.x + length[:, None] * work.direction, bound)
    return crossing


def _choose_candidates(
    state: SearchState, logits: Tensor, classes: int, how: DeepFoolCandidates, *, first: bool
) -> None:
    """Set `candidates` (A, R) of the active images, from their logits (A, K)."""
    work = state.working
    others = logits.scatter(1, state.criterion.labels[:, None], -torch.inf)
    if first or how is DeepFoolCandidates.RANKED_ANEW:
        work.candidates = others.topk(min(classes, others.shape[1] - 1), dim=1).indices
    elif how is DeepFoolCandidates.NEAREST:
        # behind a boundary the class found there is the one whose normal is wanted
        work.candidates = torch.where(work.crossed, others.argmax(dim=1), work.nearest)[:, None]


def _compare_boundaries(state: SearchState, x: Tensor, logits: Tensor) -> None:
    """Set the `distance` (A,) to the nearest linearised boundary, the `direction` (A, D) to it, its class `nearest`.

    Without a usable gradient the distance is infinite, and `reason` (A,) is the DeepFoolStop that says why.
    """
    work, space = state.working, state.space
    work.distance = torch.full_like(work.size, torch.inf)
    work.direction = torch.zeros_like(work.x)
    work.nearest = work.candidates[:, 0]
    work.reason = torch.full_like(state.active, DeepFoolStop.ZERO_GRADIENT)
    lead = logits.gather(1, work.candidates) - logits.gather(1, state.criterion.labels[:, None])  # (A, R)
    count = lead.shape[1]
    for k in range(count):
        (gradient,) = torch.autograd.grad(lead[:, k].sum(), x, retain_graph=k + 1 < count)
        finite = gradient.isfinite().all(dim=1)
        distance = (state.criterion.margin - lead[:, k].detach()).abs() / space.slope(gradient)
        nearer = finite & (distance < work.distance)
        work.distance = torch.where(nearer, distance, work.distance)
        work.direction = torch.where(nearer[:, None], space.direction(gradient), work.direction)
        work.nearest = torch.where(nearer, work.candidates[:, k], work.nearest)
        work.reason = torch.where(finite & lead[:, k].detach().isfinite(), work.reason, DeepFoolStop.NOT_FINITE)
