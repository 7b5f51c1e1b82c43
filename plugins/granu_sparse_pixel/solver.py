"""The fewest coordinates that carry an image across a plane, within bounds: one sort instead of a loop."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor


class Solver(StrEnum):
    """Quantity that is minimised: the L1 norm as in the paper, the number of coordinates, or the number of pixels."""

    L1 = "l1"
    L0 = "l0"
    PIXEL = "pixel"


def cross_plane(
    x: Tensor, w: Tensor, need: Tensor, lower: Tensor, upper: Tensor, solver: Solver
) -> tuple[Tensor, Tensor]:
    """Carry each `x` (b, C, H, W) by `need` (b,) along `w`, changing as little of it as possible.

    An element can gain |w_i| room_i before it meets its bound. Spending the largest |w_i| first is the paper's
    greedy (Algorithm 2), and solves min L1 exactly (a fractional knapsack). Spending the largest gain first solves
    min L0 exactly; the largest gain of a pixel, all its channels together, does so for pixels. Only what is spent
    last may stop short of its bound.

    Returns the images, and (b,) how far they moved along `w`: less than `need` where the bounds allow no more.
    """
    bounds = torch.where(w > 0, upper - x, x - lower).clamp_min(0)
    gain = w.abs() * bounds  # (b, C, H, W)
    if solver is Solver.PIXEL:
        whole = gain.sum(dim=1, keepdim=True)  # (b, 1, H, W)
        share = _shares(whole, whole, need)
    else:
        share = _shares(w.abs() if solver is Solver.L1 else gain, gain, need)
    moved = (x + share * bounds * w.sign()).clamp(lower, upper)
    return moved, gain.flatten(1).sum(dim=1).minimum(need)


def _shares(key: Tensor, gain: Tensor, need: Tensor) -> Tensor:
    """The share of each gain used, in [0, 1], when gains are spent in falling order of `key` up to `need`."""
    order = key.flatten(1).argsort(dim=1, descending=True, stable=True)
    sorted_gain = gain.flatten(1).gather(1, order)
    before = sorted_gain.cumsum(dim=1) - sorted_gain
    share = ((need[:, None] - before) / sorted_gain).nan_to_num(0.0, 1.0, 0.0).clamp(0, 1)
    return torch.zeros_like(share).scatter(1, order, share).view_as(gain)
