"""Plasma fractals by midpoint displacement on squares and diamonds (Fournier, Fussell and Carpenter 1982)."""

from __future__ import annotations

import torch
from torch import Tensor

from granu import Streams


def plasma(size: torch.Size, decay: Tensor, noise: Streams) -> Tensor:
    """Fields (B, 1, H, W) from 0 to 1; each halving of the step divides the displacements by `decay` (B,).

    They are computed on a torus whose side is the next power of two, and cropped.
    """
    side = torus_side(size)
    draws = 2 * noise.uniform(side, side) - 1
    field = displaced(draws, decay)
    low, high = field.amin(dim=(1, 2), keepdim=True), field.amax(dim=(1, 2), keepdim=True)
    field = (field - low) / (high - low).clamp_min(1e-12)
    return field[:, None, : size[0], : size[1]]


def torus_side(size: torch.Size) -> int:
    """The next power of two that holds images of `size` (H, W)."""
    return 1 << (max(size) - 1).bit_length()


def displaced(draws: Tensor, decay: Tensor) -> Tensor:
    """Fields on a torus (B, n, n), n a power of two, whose midpoints are displaced by `draws` (B, n, n) times decay.

    Linear in the draws with weights of at least zero, and differentiable.
    """
    field = torch.zeros_like(draws)
    field[:, 0, 0] = draws[:, 0, 0]
    step, amplitude = draws.shape[-1], torch.ones_like(decay).view(-1, 1, 1)
    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        centres = (corners + _shift(corners, 1) + _shift(corners, 2) + _shift(_shift(corners, 1), 2)) / 4
        field[:, half::step, half::step] = centres + amplitude * draws[:, half::step, half::step]
        centres = field[:, half::step, half::step]
        above, left = centres.roll(1, dims=1), centres.roll(1, dims=2)
        across = (corners + _shift(corners, 2) + centres + above) / 4
        down = (corners + _shift(corners, 1) + centres + left) / 4
        field[:, ::step, half::step] = across + amplitude * draws[:, ::step, half::step]
        field[:, half::step, ::step] = down + amplitude * draws[:, half::step, ::step]
        step, amplitude = half, amplitude / decay.view(-1, 1, 1)
    return field


def _shift(field: Tensor, axis: int) -> Tensor:
    """The next neighbour along an axis of a torus."""
    return field.roll(-1, dims=axis)
