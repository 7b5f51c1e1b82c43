"""The first crossing of a boundary: DeepFool (Moosavi-Dezfooli et al. 2016, algorithm 2) in any space.

It goes to the nearest of the linearised boundaries and looks again from there, so that it stays close by where one
long step would leave for another region. Where that crossing lies decides which minimum `smallest` ends in.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from granu.search.state import SearchState
from granu.types import Criterion, Space

RIVALS = 3  # classes that are walked towards at each look, those that lead
OVERSHOOT = 0.02


def reach(space: Space, criterion: Criterion, state: SearchState, *, looks: int, limit: Tensor) -> Tensor:
    """Walk every image across a boundary within `limit` (B,) and enter it; the changes (B, D), zero if not reached.

    It looks at most `looks` times; most images cross within five.
    An image without a usable gradient stops; it is not marked as failed, since another search may still look at it.
    """
    everyone = state.active
    crossed = space.start()
    x = crossed
    for look in range(looks + 1):
        x = x.detach().requires_grad_()
        logits = space.logits(x)
        state.count(forward=1)
        reached = criterion.objective(logits.detach()) < -criterion.margin
        state.enter(x.detach(), space.size(x.detach()), reached)
        crossed[state.active[reached]] = x[reached].detach()
        if look == looks or reached.all():
            break
        nearest, direction = _nearest(space, criterion, x, logits, state)
        going = ~reached & nearest.isfinite()
        index = state.keep(going)
        if not len(index):
            break
        space, criterion, limit = space.select(index), criterion.select(index), limit[index]
        x, step = x.detach()[index], (1 + OVERSHOOT) * nearest[index]
        # into the ball, because some directions only point the way: projecting keeps L1 changes sparse
        x = space.within(x + step[:, None] * direction[index], (space.size(x) + step).minimum(limit))
    state.active = everyone
    return crossed


def _nearest(
    space: Space, criterion: Criterion, x: Tensor, logits: Tensor, state: SearchState
) -> tuple[Tensor, Tensor]:
    """(A,) the distance to the nearest linearised boundary, infinite without a usable gradient; (A, D) the way."""
    nearest = torch.full((len(x),), torch.inf, device=x.device)
    direction = torch.zeros_like(x)
    for lead, gradient in _rivals(criterion, x, logits):
        state.count(backward=1)
        distance = (criterion.margin - lead) / space.slope(gradient)
        nearer = gradient.isfinite().all(dim=1) & (distance >= 0) & (distance < nearest)
        nearest = torch.where(nearer, distance, nearest)
        direction = torch.where(nearer[:, None], space.direction(gradient), direction)
    return nearest, direction


def _rivals(criterion: Criterion, x: Tensor, logits: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """By how much each rival leads the label, (A,), negative as long as it does not, with its gradient (A, D)."""
    own = criterion.labels[:, None]
    count = min(RIVALS, logits.shape[1] - 1)
    ranked = logits.detach().scatter(1, own, -torch.inf).topk(count, dim=1).indices
    lead = logits.gather(1, ranked) - logits.gather(1, own)
    for k in range(count):
        (gradient,) = torch.autograd.grad(lead[:, k].sum(), x, retain_graph=k + 1 < count)
        yield lead[:, k].detach(), gradient
