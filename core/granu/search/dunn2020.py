"""`search=dunn2020`: Adam under a bound that grows with every iteration, as published (Dunn et al. 2020, section 3).

The constants are those of the authors' BigGAN code. Differences, which mend defects: the margin is per image instead of
the batch's mean and excludes only the label, and the change returned is the one that was tested. Adam moves a
coordinate by about `RATE` a step, so the bound is active only where there are many coordinates; `bound_steps` counts
those steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import torch
from torch import Tensor

from granu.search.base import Search, size_limit
from granu.search.options import Dunn2020Options
from granu.search.state import NO_GRADIENT, SearchState, unusable

RATE = 0.003
START, GROWTH = 1.0, 0.1  # of the bound on the plain L2 norm of the change's coordinates
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's own


class Dunn2020(Search[Dunn2020Options]):
    """The first change that reaches the criterion while the bound grows."""

    options = Dunn2020Options

    def search(self, state: SearchState) -> Mapping[str, Tensor]:
        """Returns `bound_steps`: in how many steps the bound was active."""
        assert state.streams is not None  # Search.run hands them in
        p = 1e-4 * state.streams.normal(state.change.shape[1])  # (B, D)
        bound_steps = torch.zeros_like(state.forward)
        work = state.working = SimpleNamespace(
            p=p, m=torch.zeros_like(p), v=torch.zeros_like(p), limit=size_limit(state.space, self.chosen.limit)
        )
        for t in range(self.chosen.steps):
            if not len(state.active):
                break
            objective, work.gradient = state.gradient(work.p)
            stuck, reached = unusable(work.gradient), objective < -state.criterion.margin
            if reached.any():  # only then is a pass for the judged evidence worth it
                reached = reached & state.judge(work.p)
            state.update(work.p, state.space.size(work.p), reached)
            state.mark_failed(stuck, NO_GRADIENT)
            state.narrow(~stuck & ~reached)

            work.m = BETA1 * work.m + (1 - BETA1) * work.gradient
            work.v = BETA2 * work.v + (1 - BETA2) * work.gradient**2
            step = work.m / (1 - BETA1 ** (t + 1)) / ((work.v / (1 - BETA2 ** (t + 1))).sqrt() + EPSILON)
            p = work.p - RATE * step
            norm, bound = p.norm(dim=1), START + GROWTH * t
            bound_steps[state.active] += norm > bound
            p = p * (bound / norm).clamp_max(1)[:, None]
            work.p = state.space.within(p, work.limit)
        return {"bound_steps": bound_steps}
