"""Random smooth deformations: the spatial primitive (Modas et al. 2022).

The deformations are the maximum-entropy diffeomorphisms of Petrini et al. (NeurIPS 2021): a displacement is
a sum of the sines that vanish at the borders, with independent normal amplitudes whose variances fall with the square
of the frequency, up to a cut. That work, and PRIME, define them for square images; here the sines of a rectangle take
their place, with the same statistics far from its borders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Streams
from granu_prime.precision import in_float32

SMALLEST = 3  # pixels along a side; shorter ones hold no sine that vanishes at both ends


@dataclass(frozen=True)
class Spatial:
    """Deform each image by a smooth random displacement, bilinearly, with the border's pixels beyond the border.

    For each image a bound is drawn from U{3..`cut`}, the cut from 2 to that bound and the temperature from its range
    (`temperatures`), both by the arcsine distribution Beta(1/2, 1/2). `strength` scales the displacement.
    """

    cut: int = 100
    strength: float = 1.0

    @in_float32
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Images (B, C, H, W) to deformed images."""
        size = (images.shape[-2], images.shape[-1])
        if min(size) < SMALLEST:
            return images.clone()
        uniform = streams.uniform(3)
        bound = 3 + (uniform[:, 0] * (self.cut - 2)).floor()
        share = (math.pi / 2 * uniform[:, 1:]).sin().square()  # Beta(1/2, 1/2)
        cut = 2 + (share[:, 0] * (bound - 1)).floor()
        low, high = temperatures(cut, min(size))
        temperature = low + share[:, 1] * (high - low)
        deviations = (self.strength**2 * temperature[:, None, None] * variances(size, cut)).sqrt_()
        return deformed(images, streams.normal(2, *mode_counts(size)) * deviations[:, None])


def temperatures(cut: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The lowest and highest temperature for cuts (B,): half a pixel of displacement, and nothing folded over."""
    low = 1 / (math.pi * side**2 * cut.log())
    return low, low.maximum(4 / (math.pi**3 * cut.square() * cut.log()))


def mode_counts(size: Sequence[int]) -> tuple[int, int]:
    """Counts of sines along each axis that differ from each other, and from zero, on the pixels of images of `size`."""
    return size[0] - 2, size[1] - 2


def variances(size: Sequence[int], cut: Tensor) -> Tensor:
    """Variances (B, H - 2, W - 2) of the amplitudes at temperature 1, for whole cuts (B,)."""
    tables = [_variances((size[0], size[1]), int(c)) for c in cut.tolist()]
    return torch.stack(tables).to(cut.device) if tables else torch.empty(0, *mode_counts(size), device=cut.device)


def deformed(images: Tensor, amplitudes: Tensor) -> Tensor:
    """Deform images (B, C, H, W) by amplitudes (B, 2, H - 2, W - 2) of the sines of the displacement x, y.

    Amplitudes are in shorter sides of the image. Differentiable.
    """
    H, W = images.shape[-2:]
    down, across = _sines(H).to(amplitudes), _sines(W).to(amplitudes)
    shift = min(H, W) * (down.T @ amplitudes @ across)  # (B, 2, H, W), in pixels
    half = torch.tensor([(W - 1) / 2, (H - 1) / 2]).to(amplitudes)
    y, x = torch.meshgrid(torch.linspace(-1, 1, H), torch.linspace(-1, 1, W), indexing="ij")
    grid = torch.stack((x, y), dim=-1).to(amplitudes) - shift.permute(0, 2, 3, 1) / half  # (B, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


@lru_cache(maxsize=16)
def _sines(n: int) -> Tensor:
    """(n - 2, n), row p - 1 is sin(pi p t) at n points t from 0 to 1."""
    p, t = torch.arange(1, n - 1, dtype=torch.float64)[:, None], torch.linspace(0, 1, n, dtype=torch.float64)
    return torch.sin(math.pi * p * t).float()


@lru_cache(maxsize=128)
def _variances(size: tuple[int, int], cut: int) -> Tensor:
    """Variances (H - 2, W - 2) of the amplitudes for one cut.

    The published sum goes up to the cut even where that exceeds what the pixels resolve. Such a sine equals, on the
    pixels, a slower one up to its sign; its variance is added to that one's, which leaves the distribution as it is.
    """
    shorter = min(size) - 1
    frequencies = [_axis((n - 1) / shorter, cut) for n in size]
    squares = frequencies[0][:, None].square() + frequencies[1].square()  # in half waves along the shorter side
    variance = (squares < (cut + 0.5) ** 2) / squares
    for axis, n in enumerate(size):
        variance = _folded(variance, axis, n - 1)
    return variance * (shorter / (max(size) - 1))  # the area of the image, in squares of its shorter side


def _axis(aspect: float, cut: int) -> Tensor:
    """Frequencies of the sines along one side, up to the cut, in half waves along the shorter side."""
    return torch.arange(1, math.floor((cut + 0.5) * aspect) + 1) / aspect


def _folded(variance: Tensor, axis: int, pixels: int) -> Tensor:
    """Variances of sines 1, 2, ... along one axis, added up over the sines that are alike on its pixels."""
    p = torch.arange(1, variance.shape[axis] + 1) % (2 * pixels)
    shape = list(variance.shape)
    shape[axis] = pixels + 1
    folded = torch.zeros(shape).index_add(axis, torch.minimum(p, 2 * pixels - p), variance)
    return folded.narrow(axis, 1, pixels - 1)  # the first and the last vanish on all pixels
