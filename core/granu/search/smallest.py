"""The smallest change that is found: direction and norm decoupled (Rony et al. 2019, algorithm 1), any norm.

As in the fast minimum-norm attack (Pintor et al. 2021, section 2.1) the norm first follows the linearised
boundary. Differences: the step is a share of the present norm, so that no step size must be tuned to a unit, and
a picture that no longer improves leaves the batch. After a walk (`reach`) the norm follows the linearised boundary
on the way back too, so that a crossing far beyond it does not cost twenty steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from granu.search.ledger import NO_GRADIENT, Ledger, objective_and_gradient, unusable
from granu.search.reach import reach
from granu.search.rounding import survive_rounding
from granu.types import Goal, Space

PATIENCE = 0.25  # share of the steps without an improvement of 0.1 % after which a picture is done


def smallest(space: Space, goal: Goal, *, steps: int, limit: Tensor, walk: int = 0) -> tuple[Ledger, dict[str, Tensor]]:
    """Each picture's smallest change of at most `limit` (B,) in `steps` gradient passes.

    With it, (B,) each: the size before rounding, which papers print, and by which factor the change was lengthened to
    survive rounding. With `walk` the search begins where a walk of as many looks crossed a boundary: smaller changes
    where steps are few, but which boundary is nearest can hang on the last digit, and so less repeatable.
    """
    everything, everyone, limits = space, goal, limit
    ledger = Ledger.open(space)
    x = reach(space, goal, ledger, looks=walk, limit=limit) if walk else space.start()
    epsilon = torch.where(ledger.found, ledger.size, 0.0)
    last, waited = torch.full_like(limit, torch.inf), torch.zeros_like(ledger.forward)
    for t in range(steps):
        if not len(ledger.active):
            break
        objective, gradient = objective_and_gradient(space, x, goal)
        ledger.count(forward=1, backward=1)
        size, stuck = space.size(x), unusable(gradient)
        reached = (objective < -goal.margin) & ~stuck
        ledger.enter(x, size, reached)
        ledger.fail(stuck, NO_GRADIENT)

        best = ledger.size[ledger.active]
        waited = torch.where(best < 0.999 * last, 0, waited + 1)
        last = torch.where(waited == 0, best, last)
        going = ~stuck & ((waited < PATIENCE * steps) | best.isinf())
        if not going.all():
            index = ledger.keep(going)
            space, goal, limit = space.select(index), goal.select(index), limit[index]
            x, epsilon, last, waited = x[index], epsilon[index], last[index], waited[index]
            objective, gradient, size = objective[index], gradient[index], size[index]
            reached, best = reached[index], best[index]

        gamma = _anneal(0.05, 0.001, t / steps)
        outside = size + (objective + goal.margin) / space.slope(gradient).clamp_min(1e-30)
        growing = outside.clamp_min(epsilon * (1 + gamma)).minimum(2 * epsilon if t else limit)
        inward = epsilon.minimum(best) * (1 - gamma)
        if walk:
            inward = inward.minimum(outside.maximum(best / 2))
        shrinking = torch.where(reached, inward, (epsilon * (1 + gamma)).minimum(best))
        epsilon = torch.where(best.isinf(), growing, shrinking).minimum(limit)
        x = x - (_anneal(1.0, 0.01, t / steps) * epsilon)[:, None] * space.direction(gradient)
        # up onto the sphere by scaling, down onto it by projecting, which keeps L1 changes sparse
        x = space.within(x * (epsilon / space.size(x).clamp_min(1e-30)).clamp_min(1)[:, None], epsilon)
    unrounded = ledger.size.clone()
    return ledger, {"unrounded": unrounded, "lengthened": survive_rounding(everything, everyone, ledger, limits)}


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
