"""Comparison of tensors for contracts."""

from __future__ import annotations

from torch import Tensor


def check_close(one: Tensor, other: Tensor, otherwise: str, tolerance: float = 1e-4) -> None:
    """Check that tensors agree up to `tolerance`, relative to the largest number; `otherwise` is said if not."""
    scale = other.abs().amax().clamp_min(1e-6)
    difference = ((one - other).abs().amax() / scale).item()
    assert difference <= tolerance, f"{otherwise} (relative difference {difference:.2g})"
