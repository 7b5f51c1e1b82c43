"""Bands of the two-dimensional cosine transform: windows, rings, low and high passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from granu_frequency.dct import dct_matrix
from granu_frequency.windows import all_starts, width_of


@dataclass(frozen=True)
class Band:
    """A set of frequencies within the rectangle `rows` x `columns`, each a row of the cosine transform.

    Transforms are separable, D_rows X D_columns^T, so that a basis of the subspace is never in memory.
    """

    rows: Tensor  # (h, H)
    columns: Tensor  # (w, W)
    inside: Tensor  # (h, w), 1 for a frequency of the band, 0 for others of the rectangle

    def spectrum(self, images: Tensor) -> Tensor:
        """Images (..., H, W) to the coefficients of this band (..., h, w)."""
        return self.inside * (self.rows @ images @ self.columns.T)

    def image(self, spectrum: Tensor) -> Tensor:
        """Coefficients (..., h, w) to the image (..., H, W) that has these and no others."""
        return self.rows.T @ (self.inside * spectrum) @ self.columns

    def project(self, images: Tensor) -> Tensor:
        """The part of images (..., H, W) within the band."""
        return self.image(self.spectrum(images))

    def to(self, like: Tensor) -> Band:
        """The band on another tensor's device and in its precision."""
        return Band(self.rows.to(like), self.columns.to(like), self.inside.to(like))


def make_band(shape: str, start: Sequence[int], width: Sequence[int], size: Sequence[int]) -> Band:
    """A band of images of `size` (H, W): from frequency `start`, `width` wide, along both axes.

    "window": rows and columns from start to start + width, on the diagonal (Ortiz-Jimenez et al. 2020, section 3).
    "ring": radii in that range, where an axis' radius is measured in its own frequencies.
    "low": everything below start + width on both axes; "high": all that is not below start on both.
    """
    end = [s + w for s, w in zip(start, width, strict=True)]
    if shape == "window":
        return _within([slice(s, e) for s, e in zip(start, end, strict=True)], size)
    if shape == "low":
        return _within([slice(0, e) for e in end], size)
    u = torch.arange(size[0])[:, None].expand(*size)
    v = torch.arange(size[1])[None].expand(*size)
    if shape == "high":
        return _chosen((u >= start[0]) | (v >= start[1]))
    shares = [torch.tensor(pair, dtype=torch.float64) / size[0] for pair in (start[0], end[0])]
    radius = ((u / size[0]).double() ** 2 + (v / size[1]).double() ** 2).sqrt()
    return _chosen((radius >= shares[0]) & (radius < shares[1]))


def all_bands(size: Sequence[int], shape: str = "window") -> list[Band]:
    """Every band of an image of `size` (H, W), low to high; at 28, 32 and 224 pixels the paper's windows."""
    width = [width_of(n) for n in size]
    return [make_band(shape, start, width, size) for start in all_starts(size)]


def _within(slices: Sequence[slice], size: Sequence[int]) -> Band:
    rows, columns = (dct_matrix(n)[part] for n, part in zip(size, slices, strict=True))
    return Band(rows, columns, torch.ones(len(rows), len(columns)))


def _chosen(inside: Tensor) -> Band:
    return Band(dct_matrix(inside.shape[0]), dct_matrix(inside.shape[1]), inside.float())
