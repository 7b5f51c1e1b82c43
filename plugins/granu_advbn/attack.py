"""The adversary: signed gradient ascent on the multipliers of features' statistics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from granu import mean_over_processes


def strengthen(
    loss: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    step: float,
    steps: int,
    bounded: Callable[[Tensor], Tensor],
    shared: bool = False,
) -> Tensor:
    """The change (G, 2 C) after `steps` steps of size `step` up the loss (Shu et al. 2021, algorithm 1).

    `loss` is a scalar function of the change, `bounded` keeps a change within its bounds. If `shared`, all processes
    follow the gradient of the mean of their losses. The gradient of no weight is computed.
    """
    change = start
    for _ in range(steps):
        change = change.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(change), change)
        if shared:
            gradient = mean_over_processes(gradient)
        change = bounded(change.detach() + step * gradient.sign())
    return change.detach()
