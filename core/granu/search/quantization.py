"""Make a change survive 8-bit quantization: scale it up, or search again at larger budgets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from granu.search.madry2018 import spend
from granu.search.state import SearchState

SURVIVES = 1.13  # a larger scale means that 8 bits do not represent the change as it was found
SCALES = (1.0, *(1 + 0.0005 * 2**k for k in range(26)))  # an image may be a hundredth of 1/255 from a boundary
HALVINGS = 4  # of the gap between two scales, where it is wide
BUDGETS = (2.0, 4.0, 8.0, 16.0)  # in sizes of what was found, where nothing along its ray survives
STEPS = 10  # of the search at each budget
SLACK = 1 + 1e-4  # of a limit: floats represent no multiple of 1/255 exactly, and limit=1/255 means a whole one

UNDONE = "what was found is undone by rounding to 8 bits"


def survive_quantization(state: SearchState, limit: Tensor) -> Mapping[str, Tensor]:
    """Scale up each change found that quantization undoes, as little as it takes, up to `limit` (B,).

    Returns (B,) each: `size_before_quantization`, which papers print, and `quantization_scale`. Nothing happens in a
    space without images.

    The size in `state` stays that before quantization as long as the scale is small: rounding makes the verdict jump
    back and forth along the ray, so a size read off it would differ by thousandths from batch to batch, where kernels
    differ by millionths. If the change does not survive quantization, the rescaled, quantized change takes its place,
    with its size.
    """
    if not state.space.has_images:
        return {}
    before = state.size.clone()
    ray = state.change.clone()
    failing, scale = torch.ones_like(before), torch.ones_like(before)  # the largest that failed, the one in use
    state.activate(state.found, ray=ray, limit=limit)
    for factor in SCALES:
        scale[state.active] = factor
        reached = _try(state, scale[state.active])
        failing[state.active[~reached]] = factor
        state.narrow(~reached)
    lost = torch.zeros_like(state.found).index_fill(0, state.active, True)
    state.activate((scale > SURVIVES) & ~lost, ray=ray, limit=limit)
    for _ in range(HALVINGS):
        middle = (failing * scale).sqrt()[state.active]
        reached = _try(state, middle)
        failing[state.active[~reached]] = middle[~reached]
        scale[state.active[reached]] = middle[reached]
    state.activate(lost, found=before, limit=limit)
    _search_again(state, scale)
    return {"size_before_quantization": before, "quantization_scale": scale}


def _try(state: SearchState, scale: Tensor) -> Tensor:
    """(A,) bool: whether the quantized change at `scale` (A,) times its ray reaches the criterion; keeps it if so."""
    if not len(state.active):
        return torch.zeros_like(scale, dtype=torch.bool)
    space, limit = state.space, state.working.limit
    change = state.working.ray * scale[:, None]
    change = space.within(change, space.size(change).minimum(limit))
    reached = state.judge(change)
    rescaled = scale > SURVIVES
    change = torch.where(rescaled[:, None], space.quantized(change), change)
    size = space.size(change)
    reached = reached & (~rescaled | (size <= SLACK * limit))
    state.change[state.active[reached]] = change[reached]
    _resize(state, state.active[reached & rescaled], size[reached & rescaled])
    return reached


def _search_again(state: SearchState, scale: Tensor) -> None:
    """Search again where no scale survives: the worst change at growing budgets, quantized.

    Sets `scale` (B,) to the growth of the size. Scaling moves small values by a first step of 1/255 only when it has
    moved large ones too far.
    """
    for factor in BUDGETS:
        if not len(state.active):
            return
        found, limit = state.working.found, state.working.limit
        again = SearchState(state.space, state.criterion)
        spend(again, (factor * found).minimum(limit), steps=STEPS)
        state.count(again.forward, again.backward)
        change = state.space.quantized(again.change)
        size = state.space.size(change)
        reached = again.found & (size <= SLACK * limit)
        state.change[state.active[reached]] = change[reached]
        _resize(state, state.active, torch.where(reached, size, torch.inf))
        scale[state.active] = torch.where(reached, size / found, factor)
        state.narrow(~reached)
    state.mark_failed(torch.ones_like(state.active, dtype=torch.bool), UNDONE)


def _resize(state: SearchState, where: Tensor, size: Tensor) -> None:
    """Set the size of some images, infinite where nothing is left, and the largest size tried."""
    state.size[where] = size
    state.tried[where] = state.tried[where].maximum(torch.where(size.isfinite(), size, 0.0))
