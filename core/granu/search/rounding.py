"""What 8 bits leave of a change: lengthened, or searched again, until the picture fools as a PNG holds it."""

from __future__ import annotations

import torch
from torch import Tensor

from granu.search.ledger import Ledger, judged
from granu.search.worst import worst
from granu.types import Goal, Space

HELD = 0.13  # lengthening by more than this says that 8 bits do not hold the change as it was found
LONGER = (0.0, *(0.0005 * 2**k for k in range(26)))  # a picture may stand at a hundredth of 8 bits from a boundary
BUDGETS = (2.0, 4.0, 8.0, 16.0)  # in sizes of what was found, where nothing along its ray survives
STEPS = 10  # of the search at each budget


def survive_rounding(space: Space, goal: Goal, ledger: Ledger, limit: Tensor) -> Tensor:
    """Lengthen what does not fool as an 8-bit PNG, as little as it takes, up to `limit` (B,); (B,) by which factor.

    The size that the ledger keeps stays that of the unrounded change as long as the factor is small. Rounding makes
    the verdict jump back and forth along the ray, so a size read off it would differ by thousandths from batch to
    batch, where kernels differ by millionths. A change that 8 bits do not hold counts with its lengthened size.
    """
    lengthened = torch.ones_like(ledger.size)
    ledger.active = ledger.found.nonzero().squeeze(1)
    space, goal, limit = space.select(ledger.active), goal.select(ledger.active), limit[ledger.active]
    ray = ledger.change[ledger.active]
    for longer in LONGER:
        if not len(ledger.active):
            return lengthened
        change = ray * (1 + longer)
        change = space.within(change, space.size(change).minimum(limit))
        fools = judged(space, change, goal)
        ledger.count(forward=1)
        ledger.change[ledger.active], lengthened[ledger.active] = change, 1 + longer
        if longer > HELD:
            _resize(ledger, space.size(change))
        index = ledger.keep(~fools)
        space, goal, limit, ray = space.select(index), goal.select(index), limit[index], ray[index]
    _search_again(space, goal, ledger, space.size(ray), limit, lengthened)
    return lengthened


def _search_again(space: Space, goal: Goal, ledger: Ledger, size: Tensor, limit: Tensor, lengthened: Tensor) -> None:
    """Where nothing along the ray fools: the worst change at growing budgets, each looked at as a PNG holds it.

    Scaling moves small values over the first step of 8 bits only when it has carried large ones too far.
    """
    for factor in BUDGETS:
        if not len(ledger.active):
            return
        again = worst(space, goal, steps=STEPS, budget=(factor * size).minimum(limit))
        ledger.forward[ledger.active] += again.forward
        ledger.backward[ledger.active] += again.backward
        ledger.change[ledger.active] = again.change
        _resize(ledger, torch.where(again.found, again.size, torch.inf))
        lengthened[ledger.active] = torch.where(again.found, again.size / size, factor)
        index = ledger.keep(~again.found)
        space, goal, size, limit = space.select(index), goal.select(index), size[index], limit[index]
    ledger.fail(torch.ones_like(ledger.active, dtype=torch.bool), "what was found is undone by rounding to 8 bits")


def _resize(ledger: Ledger, size: Tensor) -> None:
    """The size of the active pictures, and the largest that was looked at."""
    ledger.size[ledger.active] = size
    looked = torch.where(size.isfinite(), size, 0.0)
    ledger.tried[ledger.active] = ledger.tried[ledger.active].maximum(looked)
