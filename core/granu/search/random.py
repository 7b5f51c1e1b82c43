"""Random changes of a given size: the control that tells the adversarial from the average."""

from __future__ import annotations

from torch import Tensor

from granu.search.ledger import Ledger, judged
from granu.streams import Streams
from granu.types import Goal, Space


def random(space: Space, goal: Goal, noise: Streams, *, draws: int, budget: Tensor) -> Ledger:
    """Draw up to `draws` changes of size `budget` (B,); a picture that is fooled leaves the batch."""
    ledger = Ledger.open(space)
    for _ in range(draws):
        if not len(ledger.active):
            break
        change = space.within(space.draw(budget, noise), budget)
        ledger.count(forward=1)
        reached = judged(space, change, goal)
        ledger.change[ledger.active] = change
        ledger.enter(change, space.size(change), reached)
        index = ledger.keep(~reached)
        space, goal, budget, noise = space.select(index), goal.select(index), budget[index], noise.select(index)
    return ledger
