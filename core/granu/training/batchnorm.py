"""Batch normalisation over the whole batch where several processes each hold a part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from granu.training.processes import mean_over_processes, process_count


class WholeBatchStatistics(TorchFunctionMode):
    """While active, `F.batch_norm` in training mode takes mean and variance over the images of all processes.

    It works on the function rather than on layers, so every network's normalisation is covered, whatever its class, on
    a CPU too (torch's SyncBatchNorm needs GPUs). Every process must compute the same layers in the same order, on as
    many images.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return _batch_norm(*args, **kwargs)
        return func(*args, **kwargs)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation of (B, C, ...), with the arguments of `F.batch_norm`, statistics in float32."""
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    x = input.float()
    over = [0, *range(2, x.ndim)]
    shape = (1, -1, *[1] * (x.ndim - 2))
    # deviations from the common mean: the difference of two large squares would cancel
    mean = mean_over_processes(x.mean(over))
    centred = x - mean.view(shape)
    variance = mean_over_processes(centred.square().mean(over))
    if running_mean is not None and running_var is not None:
        count = x.numel() // x.shape[1] * process_count()
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / max(count - 1, 1)).to(running_var.dtype), momentum)
    normalised = centred * (variance + eps).rsqrt().view(shape)
    if weight is not None:
        normalised = normalised * weight.view(shape)
    if bias is not None:
        normalised = normalised + bias.view(shape)
    return normalised.to(input.dtype)
