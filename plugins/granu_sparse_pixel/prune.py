"""Undo changes that are not needed, by forward passes alone."""

from __future__ import annotations

import torch
from torch import Tensor

from granu import Criterion
from granu_sparse_pixel.counted import choose, merge
from granu_sparse_pixel.passes import Passes


def prune(
    passes: Passes,
    clean: Tensor,
    changed: Tensor,
    criterion: Criterion,
    rows: Tensor,
    *,
    normal: Tensor,
    pixels: bool,
    pruning_passes: int,
) -> Tensor:
    """Images with at most the changes of `changed` (b, C, H, W) that still reach the criterion.

    Changes are ranked by what they add along the boundary's `normal` (b, C, H, W). A bisection finds how many of the
    first ranks are enough; then the remaining ones are removed on trial, the least first, in groups so that at most
    `pruning_passes` forward passes are spent on this second part.
    """
    touched = merge((changed != clean).int(), pixels=pixels) > 0  # (b, D)
    worth = merge(normal * (changed - clean), pixels=pixels).masked_fill(~touched, -torch.inf)
    rank = worth.argsort(dim=1, descending=True).argsort(dim=1)

    def enough(kept: Tensor, of: Tensor) -> Tensor:
        logits = passes.logits(choose(kept, changed[of], clean[of]), rows[of])
        return criterion.select(of).reached(logits)

    with torch.no_grad():
        low, high = torch.zeros_like(rows), touched.sum(dim=1)
        while len(of := (high - low > 1).nonzero().squeeze(1)):
            middle = (low[of] + high[of]) // 2
            fewer = enough(rank[of] < middle[:, None], of)
            high[of] = torch.where(fewer, middle, high[of])
            low[of] = torch.where(fewer, low[of], middle)
        kept = rank < high[:, None]

        top, group = high, (high + pruning_passes - 1) // max(pruning_passes, 1)
        for _ in range(pruning_passes):
            of = (top > 0).nonzero().squeeze(1)
            if len(of) == 0:
                break
            bottom = (top[of] - group[of]).clamp_min(0)
            without = kept[of] & ((rank[of] < bottom[:, None]) | (rank[of] >= top[of, None]))
            fewer = enough(without, of)
            kept[of[fewer]] = without[fewer]
            top = top.index_copy(0, of, bottom)
    return choose(kept, changed, clean)
