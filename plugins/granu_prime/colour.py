"""Random smooth maps of colours: the primitive that changes what values mean (Modas et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from granu import Streams
from granu_prime.precision import in_float32
from granu_prime.sines import sine_sum


@dataclass(frozen=True)
class Colour:
    """Map each channel's values x to x + sum of c_k sin(pi k x) with random c_k of variance T, which keeps black.

    For each image the highest frequency is drawn from U{1..`cut`} and T from U(0, `temperature`). With a `band` only
    that many consecutive frequencies are used, the first drawn up to the highest, and none above it. `strength` scales
    the coefficients.
    """

    cut: int = 100
    temperature: float = 0.01
    band: int = 0  # 0: all frequencies up to the highest
    strength: float = 1.0

    @in_float32
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to recoloured images, clamped to [0, 1]."""
        B, C = images.shape[:2]
        cut, temperature, start = streams.uniform(3).unbind(dim=1)  # (B,) each
        coefficients = streams.normal(C, self.band or self.cut)  # (B, C, J)
        highest = 1 + (cut * self.cut).long()
        first = 1 + (start * highest).long() if self.band else torch.ones_like(highest)
        lengths = (highest + 1 - first).clamp_max(coefficients.shape[-1])
        coefficients *= self.strength * (self.temperature * temperature).sqrt()[:, None, None]
        x = images.reshape(B * C, -1)  # (B C, H W)
        added = sine_sum(x, coefficients.flatten(0, 1), first.repeat_interleave(C), lengths.repeat_interleave(C))
        return added.add_(x).clamp_(0, 1).view_as(images)
