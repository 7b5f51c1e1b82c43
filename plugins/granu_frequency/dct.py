"""The orthonormal cosine transform (DCT-II) along one axis, as a small matrix."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=16)
def dct_matrix(n: int) -> Tensor:
    """(n, n), row u the u-th cosine; its transpose is its inverse. An image's transform is D X D^T."""
    u, x = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None]
    D = math.sqrt(2 / n) * torch.cos(math.pi * (2 * x + 1) * u / (2 * n))
    D[0] /= math.sqrt(2)
    return D.float()
