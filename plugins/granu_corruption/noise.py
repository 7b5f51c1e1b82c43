"""Noise: Gaussian, shot, impulse and speckle noise.

Random numbers are drawn once and scaled by the severity, so that a severer image has the same noise, stronger.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from granu import Streams
from granu_corruption.filters import each

EXACT = 1000.0  # photons up to which counts are drawn exactly


def gaussian_noise(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    return images + each(c[:, 0]) * noise.normal(*images.shape[1:])


def speckle_noise(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    return images + images * each(c[:, 0]) * noise.normal(*images.shape[1:])


def impulse_noise(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Black or white at a share c of all values, half each."""
    u, half = noise.uniform(*images.shape[1:]), each(c[:, 0]) / 2
    return torch.where(u < half, 0.0, torch.where(u >= 1 - half, 1.0, images))


def shot_noise(images: Tensor, c: Tensor, noise: Streams, scale: float) -> Tensor:
    """Counts of photons of which 1 / c make white, divided by their number; images have 8 bits."""
    u, noisy = noise.uniform(*images.shape[1:]), images.clone()
    for inverse in c[:, 0].unique().tolist():
        which = c[:, 0] == inverse
        if inverse > 0:
            noisy[which] = poisson(images[which], u[which], 1 / inverse) * inverse
    return noisy


def poisson(images: Tensor, u: Tensor, photons: float) -> Tensor:
    """Quantiles `u` of Poisson distributions with means images * photons, both of one shape.

    One table of cumulative probabilities for the 256 values that a pixel may have; row r is raised by r, so that a
    single sorted sequence holds them all.
    """
    if photons > EXACT:
        return _smooth_poisson(images * photons, u)
    value = (images * 255).round().long()
    mean = torch.arange(256, dtype=torch.float64, device=images.device)[:, None] * photons / 255
    k = torch.arange(math.ceil(photons + 8 * math.sqrt(photons) + 10), dtype=torch.float64, device=images.device)
    cumulative = (torch.xlogy(k, mean) - mean - torch.lgamma(k + 1)).exp().cumsum(dim=1).clamp_max(1)
    cumulative[:, -1] = 1.0
    row = torch.arange(256, device=images.device)[:, None]
    found = torch.searchsorted((cumulative + row).flatten(), u.double() + value)
    return (found - value * len(k)).clamp_min(0).to(images.dtype)


def _smooth_poisson(mean: Tensor, u: Tensor) -> Tensor:
    """The same for many photons: the normal distribution with the first term of Cornish and Fisher (1938)."""
    z = torch.special.ndtri(u.clamp(1e-7, 1 - 1e-7))
    return (mean + mean.sqrt() * z + (z.square() - 1) / 6).round().clamp_min(0).where(mean > 0, 0.0)
