"""Gradient checkpointing: activations inside a block are computed again for the gradient instead of being kept.

The memory of a gradient then is that of the blocks' outputs and one block's inside (Chen et al. 2016,
arXiv:1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(blocks: Iterable[nn.Module]) -> None:
    """Let these blocks keep nothing but their inputs for a gradient. Their results are the same."""
    for block in blocks:
        block.forward = partial(_recomputed, block.forward)  # type: ignore[method-assign]


def _recomputed(compute: Callable[..., Tensor], *values: Tensor | None, **named: Tensor | None) -> Tensor:
    given = [value for value in (*values, *named.values()) if value is not None]
    if not torch.is_grad_enabled() or not any(value.requires_grad for value in given):
        return compute(*values, **named)
    result: Tensor = checkpoint(partial(compute, **named), *values, use_reentrant=False, preserve_rng_state=False)
    return result
