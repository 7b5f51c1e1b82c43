"""Norm statistics by truncation: files store them for a grid of truncations, a network needs them for one."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor


def at_truncation(state: Mapping[str, Tensor], truncation: float) -> dict[str, Tensor]:
    """The state with each table of statistics (rows, C) replaced by its row at `truncation`, (C,).

    Rows stand for truncations evenly from 0 to 1. Between two rows we interpolate in a straight line;
    pytorch-pretrained-BigGAN swaps the two rows' coefficients there, which shows at truncations off the grid. A
    table of one row holds at any truncation.
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
