"""Random changes of a given size: the control that tells the adversarial from the average."""

from __future__ import annotations

from torch import Tensor

from granu.search.state import SearchState, judged
from granu.streams import Streams
from granu.types import Criterion, Space


def random(space: Space, criterion: Criterion, noise: Streams, *, draws: int, budget: Tensor) -> SearchState:
    """Draw up to `draws` changes of size `budget` (B,); an image that is fooled leaves the batch."""
    state = SearchState.start(space)
    for _ in range(draws):
        if not len(state.active):
            break
        change = space.within(space.draw(budget, noise), budget)
        state.count(forward=1)
        reached = judged(space, change, criterion)
        state.change[state.active] = change
        state.enter(change, space.size(change), reached)
        index = state.keep(~reached)
        space, criterion, budget, noise = (
            space.select(index),
            criterion.select(index),
            budget[index],
            noise.select(index),
        )
    return state
