"""The search as published: Adam under a bound that grows with every iteration (Dunn et al. 2020, section 3).

The constants are those of the authors' BigGAN code. Differences, all of them mended defects: the margin is per
image instead of the batch's mean, it leaves out the label alone, and the change returned is the one that was
tested. Adam moves a coordinate by about `RATE` a step, so the bound acts only where there are many of them; in
how many steps it acted is counted as `bound_steps`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from granu.search.state import NO_GRADIENT, SearchState, judged, objective_and_gradient, unusable
from granu.streams import Streams
from granu.types import Criterion, Space

RATE = 0.003
START, GROWTH = 1.0, 0.1  # of the bound on the plain L2 norm of the change's coordinates
BETA1, BETA2, TINY = 0.9, 0.999, 1e-8  # Adam's own


def dunn2020(
    space: Space, criterion: Criterion, noise: Streams, *, steps: int, limit: Tensor
) -> tuple[SearchState, Tensor]:
    """The first change that fools while the bound grows; with it, (B,) in how many steps the bound acted."""
    state = SearchState.start(space)
    p = 1e-4 * noise.normal(state.change.shape[1])
    m, v = torch.zeros_like(p), torch.zeros_like(p)
    bound_steps = torch.zeros_like(state.forward)
    for t in range(steps):
        if not len(state.active):
            break
        objective, gradient = objective_and_gradient(space, p, criterion)
        state.count(forward=1, backward=1)
        stuck, reached = unusable(gradient), objective < -criterion.margin
        if reached.any():  # only then is it worth a pass to ask about the rounded image
            state.count(forward=1)
            reached = reached & judged(space, p, criterion)
        state.enter(p, space.size(p), reached)
        state.fail(stuck, NO_GRADIENT)
        going = ~stuck & ~reached
        if not going.all():
            index = state.keep(going)
            space, criterion, limit = space.select(index), criterion.select(index), limit[index]
            p, m, v, gradient = p[index], m[index], v[index], gradient[index]

        m = BETA1 * m + (1 - BETA1) * gradient
        v = BETA2 * v + (1 - BETA2) * gradient**2
        step = m / (1 - BETA1 ** (t + 1)) / ((v / (1 - BETA2 ** (t + 1))).sqrt() + TINY)
        p = p - RATE * step
        norm, bound = p.norm(dim=1), START + GROWTH * t
        bound_steps[state.active] += norm > bound
        p = space.within(p * (bound / norm.clamp_min(1e-30)).clamp_max(1)[:, None], limit)
    return state, bound_steps
