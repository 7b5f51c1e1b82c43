"""What 8 bits leave of a change: lengthened, or searched again, until the picture fools as a PNG holds it."""

from __future__ import annotations

import torch
from torch import Tensor

from granu.search.ledger import Ledger, judged
from granu.search.worst import worst
from granu.types import Goal, Space

HELD = 1.13  # lengthening by a larger factor says that 8 bits do not hold the change as it was found
FACTORS = (1.0, *(1 + 0.0005 * 2**k for k in range(26)))  # a picture may stand a hundredth of 8 bits from a boundary
HALVINGS = 4  # of the gap between two factors, where it is wide
BUDGETS = (2.0, 4.0, 8.0, 16.0)  # in sizes of what was found, where nothing along its ray survives
STEPS = 10  # of the search at each budget
SLACK = 1 + 1e-4  # of a limit: floats hold no step of 8 bits exactly, and limit=1/255 means a whole one


def survive_rounding(space: Space, goal: Goal, ledger: Ledger, limit: Tensor) -> Tensor:
    """Lengthen what does not fool as an 8-bit PNG, as little as it takes, up to `limit` (B,); (B,) by which factor.

    The size that the ledger keeps stays that of the unrounded change as long as the factor is small. Rounding makes
    the verdict jump back and forth along the ray, so a size read off it would differ by thousandths from batch to
    batch, where kernels differ by millionths. Where 8 bits do not hold a change, what they leave of the lengthened
    one takes its place, with its size.
    """
    ray = ledger.change.clone()
    shorter, lengthened = torch.ones_like(ledger.size), torch.ones_like(ledger.size)
    ledger.active = ledger.found.nonzero().squeeze(1)
    for factor in FACTORS:
        lengthened[ledger.active] = factor
        fools = _try(space, goal, ledger, ray, lengthened, limit)
        shorter[ledger.active[~fools]] = factor
        ledger.keep(~fools)
    lost = ledger.active
    unheld = lengthened > HELD
    unheld[lost] = False
    ledger.active = unheld.nonzero().squeeze(1)
    for _ in range(HALVINGS):
        middle = (shorter * lengthened).sqrt()
        fools = _try(space, goal, ledger, ray, middle, limit)
        shorter[ledger.active[~fools]] = middle[ledger.active[~fools]]
        lengthened[ledger.active[fools]] = middle[ledger.active[fools]]
    ledger.active = lost
    _search_again(space, goal, ledger, limit, lengthened)
    return lengthened


def _try(space: Space, goal: Goal, ledger: Ledger, ray: Tensor, factor: Tensor, limit: Tensor) -> Tensor:
    """Enter the active changes at `factor` (B,) times their length where that fools; (A,) whether it does."""
    if not len(ledger.active):
        return torch.zeros(0, dtype=torch.bool, device=ray.device)
    space, goal, limit = space.select(ledger.active), goal.select(ledger.active), limit[ledger.active]
    change = ray[ledger.active] * factor[ledger.active, None]
    change = space.within(change, space.size(change).minimum(limit))
    fools = judged(space, change, goal)
    ledger.count(forward=1)
    unheld = factor[ledger.active] > HELD
    left = torch.where(unheld[:, None], space.rounded(change), change)
    size = space.size(left)
    fools = fools & (~unheld | (size <= SLACK * limit))
    ledger.change[ledger.active[fools]] = left[fools]
    _resize(ledger, ledger.active[fools & unheld], size[fools & unheld])
    return fools


def _search_again(space: Space, goal: Goal, ledger: Ledger, limit: Tensor, lengthened: Tensor) -> None:
    """Where nothing along the ray fools: the worst change at growing budgets, each looked at as a PNG holds it.

    Scaling moves small values over the first step of 8 bits only when it has carried large ones too far.
    """
    found = ledger.size.clone()
    for factor in BUDGETS:
        if not len(ledger.active):
            return
        here = space.select(ledger.active)
        budget = (factor * found[ledger.active]).minimum(limit[ledger.active])
        again = worst(here, goal.select(ledger.active), steps=STEPS, budget=budget)
        ledger.forward[ledger.active] += again.forward
        ledger.backward[ledger.active] += again.backward
        left = here.rounded(again.change)
        size = here.size(left)
        fools = again.found & (size <= SLACK * limit[ledger.active])
        ledger.change[ledger.active[fools]] = left[fools]
        _resize(ledger, ledger.active, torch.where(fools, size, torch.inf))
        lengthened[ledger.active] = torch.where(fools, size / found[ledger.active], factor)
        ledger.keep(~fools)
    ledger.fail(torch.ones_like(ledger.active, dtype=torch.bool), "what was found is undone by rounding to 8 bits")


def _resize(ledger: Ledger, where: Tensor, size: Tensor) -> None:
    """The size of some pictures, infinite where nothing is left, and the largest that was looked at."""
    ledger.size[where] = size
    ledger.tried[where] = ledger.tried[where].maximum(torch.where(size.isfinite(), size, 0.0))
