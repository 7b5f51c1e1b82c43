"""Inversion of a sampler's steps by fixed-point iterations (Pan et al. 2023, arXiv:2309.04907)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def invert(
    function: Callable[[Tensor, Tensor], Tensor], target: Tensor, slope: float, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Find x with function(x) = target, each (B, ...), by x <- x + (target - function(x)) / slope.

    `function` takes some of the images and their positions in the batch. The first iteration from x = target is the
    usual inversion of DDIM. Each image stops on its own, at an error (RMS) of `tolerance` or after `iterations`, and
    keeps the best x. Returns x and the remaining target - function(x).
    """
    x = target.clone()
    best, rest = x.clone(), torch.zeros_like(x)
    least = torch.full((len(x),), torch.inf, device=x.device)
    active = torch.arange(len(x), device=x.device)
    for number in range(iterations + 1):
        difference = target[active] - function(x[active], active)
        error = difference.flatten(1).square().mean(dim=1).sqrt()
        better = error < least[active]
        found = active[better]
        best[found], rest[found], least[found] = x[found], difference[better], error[better]
        going = error > tolerance
        active = active[going]
        if number == iterations or not len(active):
            break
        x[active] = x[active] + difference[going] / slope
    return best, rest
