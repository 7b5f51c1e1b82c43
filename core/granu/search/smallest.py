"""The smallest change that is found: direction and norm decoupled (Rony et al. 2019, algorithm 1), any norm.

As in the fast minimum-norm attack (Pintor et al. 2021, section 2.1) the norm first follows the linearised
boundary. Differences: the step is a share of the present norm, so that no step size must be tuned to a unit, and
an image that no longer improves leaves the batch. After a walk (`reach`) the norm follows the linearised boundary
on the way back too, so that a crossing far beyond it does not cost twenty steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from granu.search.deepfool import reach
from granu.search.quantization import survive_quantization
from granu.search.state import NO_GRADIENT, SearchState, objective_and_gradient, unusable
from granu.types import Criterion, Space

PATIENCE = 0.25  # share of the steps without an improvement of 0.1 % after which an image is done


def smallest(
    space: Space, criterion: Criterion, *, steps: int, limit: Tensor, deepfool_init: int = 0
) -> tuple[SearchState, dict[str, Tensor]]:
    """Each image's smallest change of at most `limit` (B,) in `steps` gradient passes.

    With it, (B,) each: the size before rounding, which papers print, and by which factor the change was quantization_scale to
    survive rounding. With `deepfool_init` the search begins where a walk of as many looks crossed a boundary: smaller changes
    where steps are few, but which boundary is nearest can hang on the last digit, and so less repeatable.
    """
    everything, everyone, limits = space, criterion, limit
    state = SearchState.start(space)
    x = reach(space, criterion, state, looks=deepfool_init, limit=limit) if deepfool_init else space.start()
    epsilon = torch.where(state.found, state.size, 0.0)
    last, waited = torch.full_like(limit, torch.inf), torch.zeros_like(state.forward)
    for t in range(steps):
        if not len(state.active):
            break
        objective, gradient = objective_and_gradient(space, x, criterion)
        state.count(forward=1, backward=1)
        size, stuck = space.size(x), unusable(gradient)
        reached = (objective < -criterion.margin) & ~stuck
        state.enter(x, size, reached)
        state.fail(stuck, NO_GRADIENT)

        best = state.size[state.active]
        waited = torch.where(best < 0.999 * last, 0, waited + 1)
        last = torch.where(waited == 0, best, last)
        going = ~stuck & ((waited < PATIENCE * steps) | best.isinf())
        if not going.all():
            index = state.keep(going)
            space, criterion, limit = space.select(index), criterion.select(index), limit[index]
            x, epsilon, last, waited = x[index], epsilon[index], last[index], waited[index]
            objective, gradient, size = objective[index], gradient[index], size[index]
            reached, best = reached[index], best[index]

        gamma = _anneal(0.05, 0.001, t / steps)
        outside = size + (objective + criterion.margin) / space.slope(gradient).clamp_min(1e-30)
        growing = outside.clamp_min(epsilon * (1 + gamma)).minimum(2 * epsilon if t else limit)
        inward = epsilon.minimum(best) * (1 - gamma)
        if deepfool_init:
            inward = inward.minimum(outside.maximum(best / 2))
        shrinking = torch.where(reached, inward, (epsilon * (1 + gamma)).minimum(best))
        epsilon = torch.where(best.isinf(), growing, shrinking).minimum(limit)
        x = x - (_anneal(1.0, 0.01, t / steps) * epsilon)[:, None] * space.direction(gradient)
        # up onto the sphere by scaling, down onto it by projecting, which keeps L1 changes sparse
        x = space.within(x * (epsilon / space.size(x).clamp_min(1e-30)).clamp_min(1)[:, None], epsilon)
    size_before_quantization = state.size.clone()
    return state, {
        "size_before_quantization": size_before_quantization,
        "quantization_scale": survive_quantization(everything, everyone, state, limits),
    }


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
