"""Norm statistics at one truncation, interpolated from tables over a grid of truncations."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor


def at_truncation(state: Mapping[str, Tensor], truncation: float) -> dict[str, Tensor]:
    """Replace each table of statistics (rows, C) by its row at `truncation`, (C,).

    Rows belong to evenly spaced truncations from 0 to 1, with linear interpolation in between;
    pytorch-pretrained-BigGAN swaps the two coefficients, so its results differ at truncations off the grid. A table
    of one row is used at any truncation.
    """
    return {
        name: _row(tensor, truncation) if name.endswith((".mean", ".variance")) else tensor
        for name, tensor in state.items()
    }


def _row(table: Tensor, truncation: float) -> Tensor:
    last = len(table) - 1
    share, below = math.modf(truncation * last)
    i = int(below)
    return table[i] if share == 0 else (1 - share) * table[i] + share * table[i + 1]
