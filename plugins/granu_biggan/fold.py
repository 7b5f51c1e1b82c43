"""Folding of spectral norm into the weights, once at loading instead of at every step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def fold_spectral_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Divide every normalised weight by its largest singular value, and drop the vectors that track it.

    Two formats are supported. PyTorch's: `weight_orig` with both singular vectors `weight_u` and `weight_v`.
    BigGAN-PyTorch's: `weight` with the left vector `u0` only (and `sv0`, kept for its logs), from which its
    evaluation takes one step of power iteration. Further vectors `u1`, ... are not used.
    """
    folded: dict[str, Tensor] = {}
    for name, tensor in state.items():
        owner, _, last = name.rpartition(".")
        if last == "weight_orig":
            u, v = state[f"{owner}.weight_u"], state[f"{owner}.weight_v"]
            folded[f"{owner}.weight"] = tensor / (u @ tensor.flatten(1) @ v)
        elif last == "weight" and f"{owner}.u0" in state:
            folded[name] = tensor / _one_power_step(tensor.flatten(1), state[f"{owner}.u0"])
        elif last not in {"weight_u", "weight_v"} and not _tracks_singular_values(last):
            folded[name] = tensor
    return folded


def _one_power_step(matrix: Tensor, u: Tensor) -> Tensor:
    """Estimate the largest singular value by one step of power iteration from u (1, rows)."""
    v = F.normalize(u @ matrix)
    u = F.normalize(v @ matrix.T)
    return torch.squeeze(v @ matrix.T @ u.T)


def _tracks_singular_values(name: str) -> bool:
    return name.rstrip("0123456789") in {"u", "sv"} and name[-1].isdigit()
