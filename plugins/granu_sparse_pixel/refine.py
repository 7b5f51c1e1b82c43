"""Reduce the changes further: add a few that help most according to the boundary, and prune again."""

from __future__ import annotations

import torch
from torch import Tensor

from granu import Criterion
from granu_sparse_pixel.bounds import PixelBounds
from granu_sparse_pixel.counted import choose, count_changes, merge
from granu_sparse_pixel.passes import Passes
from granu_sparse_pixel.prune import prune


def refine(
    passes: Passes,
    clean: Tensor,
    changed: Tensor,
    criterion: Criterion,
    rows: Tensor,
    bounds: PixelBounds,
    *,
    pixels: bool,
    rounds: int,
    pruning_passes: int,
    more: float = 0.25,
) -> Tensor:
    """Images that reach the criterion, as `changed` (b, C, H, W) does, with at most as many changes.

    SparseFool's planes belong to dense steps; the sparse image crosses the boundary elsewhere, where other pixels
    matter. Each round takes the gradient at the sparse image, moves the share `more` of further pixels (at least one)
    that gain most to their bounds, and prunes with `pruning_passes`. Where that does not help, a quarter as many are
    tried next, and an image that one more pixel does not help leaves.

    Working inwards from an adversarial image is the idea of sigma-zero (Cinà et al. 2025); pixels are removed one by
    one here, not through a smooth count.
    """
    best, share = changed.clone(), torch.full(rows.shape, more, device=clean.device)
    active = torch.arange(len(clean), device=clean.device)
    for _ in range(rounds):
        if len(active) == 0:
            break
        x, x0, here = best[active], clean[active], bounds.select(active)
        w = _normal(passes, x, criterion.select(active), rows[active]) * here.mask
        before = count_changes(x, x0, pixels=pixels)
        adding = (share[active] * before).ceil()
        to_bound = torch.where(w > 0, here.upper, here.lower)
        gain = merge(w * (to_bound - x), pixels=pixels)
        rank = gain.argsort(dim=1, descending=True).argsort(dim=1)
        x = choose((rank < adding[:, None]) & (gain > 0), torch.where(w == 0, x, to_bound), x)

        with torch.no_grad():
            holds = criterion.select(active).reached(passes.logits(x, rows[active]))
        of = holds.nonzero().squeeze(1)
        x[of] = prune(
            passes,
            x0[of],
            x[of],
            criterion.select(active[of]),
            rows[active[of]],
            normal=w[of],
            pixels=pixels,
            pruning_passes=pruning_passes,
        )
        # as many pixels, but others, count as better: the next round may remove more of them
        moved = (x != best[active]).flatten(1).any(dim=1)
        better = holds & moved & (count_changes(x, x0, pixels=pixels) <= before)
        best[active[better]] = x[better]
        share[active[~better]] /= 4
        active = active[better | (adding > 1)]
    return best


def _normal(passes: Passes, x: Tensor, criterion: Criterion, rows: Tensor) -> Tensor:
    """The direction in which the criterion's objective falls, (b, C, H, W); zero where it is not finite."""
    z = x.detach().requires_grad_()
    w = passes.gradient(-criterion.objective(passes.logits(z, rows)), z, rows)
    return w.nan_to_num(0.0, 0.0, 0.0)
