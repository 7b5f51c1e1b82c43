"""What 8 bits leave of a change: quantization_scale, or searched again, until the image fools as a PNG holds it."""

from __future__ import annotations

import torch
from torch import Tensor

from granu.search.state import SearchState, judged
from granu.search.worst import worst
from granu.types import Criterion, Space

HELD = 1.13  # lengthening by a larger factor says that 8 bits do not hold the change as it was found
FACTORS = (1.0, *(1 + 0.0005 * 2**k for k in range(26)))  # an image may stand a hundredth of 8 bits from a boundary
HALVINGS = 4  # of the gap between two factors, where it is wide
BUDGETS = (2.0, 4.0, 8.0, 16.0)  # in sizes of what was found, where nothing along its ray survives
STEPS = 10  # of the search at each budget
SLACK = 1 + 1e-4  # of a limit: floats hold no step of 8 bits exactly, and limit=1/255 means a whole one


def survive_quantization(space: Space, criterion: Criterion, state: SearchState, limit: Tensor) -> Tensor:
    """Lengthen what does not fool as an 8-bit PNG, as little as it takes, up to `limit` (B,); (B,) by which factor.

    The size that the state keeps stays that of the size_before_quantization change as long as the factor is small. Rounding makes
    the verdict jump back and forth along the ray, so a size read off it would differ by thousandths from batch to
    batch, where kernels differ by millionths. Where 8 bits do not hold a change, what they leave of the quantization_scale
    one takes its place, with its size.
    """
    ray = state.change.clone()
    shorter, quantization_scale = torch.ones_like(state.size), torch.ones_like(state.size)
    state.active = state.found.nonzero().squeeze(1)
    for factor in FACTORS:
        quantization_scale[state.active] = factor
        fools = _try(space, criterion, state, ray, quantization_scale, limit)
        shorter[state.active[~fools]] = factor
        state.keep(~fools)
    lost = state.active
    unheld = quantization_scale > HELD
    unheld[lost] = False
    state.active = unheld.nonzero().squeeze(1)
    for _ in range(HALVINGS):
        middle = (shorter * quantization_scale).sqrt()
        fools = _try(space, criterion, state, ray, middle, limit)
        shorter[state.active[~fools]] = middle[state.active[~fools]]
        quantization_scale[state.active[fools]] = middle[state.active[fools]]
    state.active = lost
    _search_again(space, criterion, state, limit, quantization_scale)
    return quantization_scale


def _try(space: Space, criterion: Criterion, state: SearchState, ray: Tensor, factor: Tensor, limit: Tensor) -> Tensor:
    """Enter the active changes at `factor` (B,) times their length where that fools; (A,) whether it does."""
    if not len(state.active):
        return torch.zeros(0, dtype=torch.bool, device=ray.device)
    space, criterion, limit = space.select(state.active), criterion.select(state.active), limit[state.active]
    change = ray[state.active] * factor[state.active, None]
    change = space.within(change, space.size(change).minimum(limit))
    fools = judged(space, change, criterion)
    state.count(forward=1)
    unheld = factor[state.active] > HELD
    left = torch.where(unheld[:, None], space.rounded(change), change)
    size = space.size(left)
    fools = fools & (~unheld | (size <= SLACK * limit))
    state.change[state.active[fools]] = left[fools]
    _resize(state, state.active[fools & unheld], size[fools & unheld])
    return fools


def _search_again(
    space: Space, criterion: Criterion, state: SearchState, limit: Tensor, quantization_scale: Tensor
) -> None:
    """Where nothing along the ray fools: the worst change at growing budgets, each looked at as a PNG holds it.

    Scaling moves small values over the first step of 8 bits only when it has carried large ones too far.
    """
    found = state.size.clone()
    for factor in BUDGETS:
        if not len(state.active):
            return
        here = space.select(state.active)
        budget = (factor * found[state.active]).minimum(limit[state.active])
        again = worst(here, criterion.select(state.active), steps=STEPS, budget=budget)
        state.forward[state.active] += again.forward
        state.backward[state.active] += again.backward
        left = here.rounded(again.change)
        size = here.size(left)
        fools = again.found & (size <= SLACK * limit[state.active])
        state.change[state.active[fools]] = left[fools]
        _resize(state, state.active, torch.where(fools, size, torch.inf))
        quantization_scale[state.active] = torch.where(fools, size / found[state.active], factor)
        state.keep(~fools)
    state.fail(torch.ones_like(state.active, dtype=torch.bool), "what was found is undone by rounding to 8 bits")


def _resize(state: SearchState, where: Tensor, size: Tensor) -> None:
    """The size of some images, infinite where nothing is left, and the largest that was looked at."""
    state.size[where] = size
    state.tried[where] = state.tried[where].maximum(torch.where(size.isfinite(), size, 0.0))
