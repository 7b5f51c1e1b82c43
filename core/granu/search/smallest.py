"""The smallest change that is found: direction and norm decoupled (Rony et al. 2019, algorithm 1), any norm.

As in the fast minimum-norm attack (Pintor et al. 2021, section 2.1) the norm first follows the linearised
boundary. Differences: the step is a share of the present norm, so that no step size must be tuned to a unit, and
a picture that no longer improves leaves the batch. `polish` then walks along the ray, with rounded pictures.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from granu.search.ledger import NO_GRADIENT, Ledger, judged, objective_and_gradient, unusable
from granu.types import Goal, Space

PATIENCE = 25  # steps without an improvement of 0.1 % after which a picture is done


def smallest(space: Space, goal: Goal, *, steps: int, limit: Tensor) -> Ledger:
    """Search each picture's smallest change of at most `limit` (B,) in `steps` gradient passes."""
    everything, everyone = space, goal
    ledger = Ledger.open(space)
    x, epsilon = space.start(), torch.zeros_like(limit)
    last, waited = epsilon + torch.inf, torch.zeros_like(ledger.forward)
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
        going = ~stuck & ((waited < PATIENCE) | best.isinf())
        if not going.all():
            index = ledger.keep(going)
            space, goal, limit = space.select(index), goal.select(index), limit[index]
            x, epsilon, last, waited = x[index], epsilon[index], last[index], waited[index]
            objective, gradient, size = objective[index], gradient[index], size[index]
            reached, best = reached[index], best[index]

        gamma = _anneal(0.05, 0.001, t / steps)
        outside = size + (objective + goal.margin) / space.slope(gradient).clamp_min(1e-30)
        growing = outside.clamp_min(epsilon * (1 + gamma)).minimum(2 * epsilon if t else limit)
        shrinking = torch.where(reached, epsilon.minimum(best) * (1 - gamma), (epsilon * (1 + gamma)).minimum(best))
        epsilon = torch.where(best.isinf(), growing, shrinking).minimum(limit)
        x = x - (_anneal(1.0, 0.01, t / steps) * epsilon)[:, None] * space.direction(gradient)
        # up onto the sphere by scaling, down onto it by projecting, which keeps L1 changes sparse
        x = space.within(x * (epsilon / space.size(x).clamp_min(1e-30)).clamp_min(1)[:, None], epsilon)
    polish(everything, everyone, ledger)
    return ledger


def polish(space: Space, goal: Goal, ledger: Ledger, halvings: int = 8) -> None:
    """Shorten what was found along its ray, asking about the pictures as an 8-bit PNG would hold them.

    What rounding undoes is lengthened by up to a fifth; what even that does not save is marked as lost.
    """
    ledger.active = ledger.found.nonzero().squeeze(1)
    if not len(ledger.active):
        return
    space, goal, ray = space.select(ledger.active), goal.select(ledger.active), ledger.change[ledger.active]

    def holds(length: Tensor) -> Tensor:
        ledger.count(forward=1)
        return judged(space, _along(space, ray, length), goal)

    high = torch.ones(len(ray), device=ray.device)
    kept = holds(high)
    for longer in (1.01, 1.03, 1.08, 1.2):
        if kept.all():
            break
        high = torch.where(kept, high, torch.full_like(high, longer))
        kept = kept | holds(high)
    low = torch.where(high > 1, 1.0, 0.8)
    for _ in range(halvings):
        middle = (low + high) / 2
        inside = holds(middle)
        high, low = torch.where(inside, middle, high), torch.where(inside, low, middle)

    ledger.change[ledger.active] = _along(space, ray, high)
    size = space.size(ledger.change[ledger.active])
    ledger.tried[ledger.active] = ledger.tried[ledger.active].maximum(size)
    ledger.size[ledger.active] = torch.where(kept, size, torch.inf)
    ledger.fail(~kept, "what was found is undone by rounding to 8 bits")


def _along(space: Space, ray: Tensor, length: Tensor) -> Tensor:
    change = ray * length[:, None]
    return space.within(change, space.size(change))


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
