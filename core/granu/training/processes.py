"""Arithmetic over the processes of a training; with one process nothing happens."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def process_count() -> int:
    """The number of processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, which all receive; differentiable.

    Every process must call it at the same places, with the same shape. For a batch that is divided equally, the mean of
    the processes' means is the mean of the whole batch.
    """
    return value if process_count() == 1 else _Mean.apply(value)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:  # type: ignore[no-untyped-def, override]
        return _all_reduced(value)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def, override]
        return _all_reduced(gradient)


def _all_reduced(value: Tensor) -> Tensor:
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / process_count()
