"""Alias-free resampling for StyleGAN3: low-pass filters, and a leaky ReLU computed on a finer grid."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def lowpass_filter(taps: int, cutoff: float, half_width: float, rate: float, radial: bool = False) -> Tensor:
    """Compute a Kaiser-windowed low-pass filter of unit gain (Karras et al. 2021, appendix C.1).

    `cutoff`, `half_width` (half the transition band) and `rate` are frequencies in cycles per image. Returns
    (taps,), to be applied along each axis, or, if `radial`, a rotationally symmetric (taps, taps) made from jinc.
    """
    from scipy import signal, special  # type: ignore[import-untyped]

    if not radial:
        kernel = signal.firwin(taps, cutoff, width=2 * half_width, fs=rate)
        return torch.as_tensor(kernel, dtype=torch.float32)
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.hypot(*np.meshgrid(x, x))
    # the number of taps is always even, so no sample lies at r = 0, where jinc would be 0 / 0
    jinc = special.j1(2 * np.pi * cutoff * r) / (np.pi * r)
    beta = signal.kaiser_beta(signal.kaiser_atten(taps, 4 * half_width / rate))
    window = np.kaiser(taps, beta)
    kernel = jinc * np.outer(window, window)
    return torch.as_tensor(kernel / kernel.sum(), dtype=torch.float32)


def filtered_leaky_relu(
    x: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    up: int,
    down: int,
    padding: tuple[int, int],
    slope: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """Leaky ReLU between an upsampling and a downsampling, so that its sharp corners cannot alias.

    x (B, C, h, w); `padding` (before, after) counts samples of the finer grid on each axis, negative to crop.
    """
    x = upsample(x, up_filter, up, padding)
    x = F.leaky_relu(x, slope) * gain
    x = x if clamp is None else x.clamp(-clamp, clamp)
    return downsample(x, down_filter, down)


def upsample(x: Tensor, kernel: Tensor | None, up: int, padding: tuple[int, int]) -> Tensor:
    """Insert `up - 1` zeros after each sample, pad or crop, and filter, keeping the mean. (B, C, h, w)."""
    before, after = padding
    if kernel is None:
        return F.pad(x, (before, after, before, after))
    # A transposed convolution skips the zeros and gives every position that the filter reaches from a sample;
    # one padding or cropping afterwards selects the window.
    C, taps = x.shape[1], kernel.shape[0]
    for part, step in _passes(kernel, up):
        weight = (part * math.prod(step)).to(x.dtype).expand(C, 1, -1, -1)
        x = F.conv_transpose2d(x, weight, stride=step, groups=C)
    window = (before - taps + 1, after - taps + up)
    return F.pad(x, (*window, *window))


def downsample(x: Tensor, kernel: Tensor | None, down: int) -> Tensor:
    """Filter and keep every `down`-th sample. (B, C, h, w) -> (B, C, (h - taps) // down + 1, ...)."""
    if kernel is None:
        return x
    C = x.shape[1]
    # flipped, because conv2d computes a correlation
    for part, step in _passes(kernel.flip(tuple(range(kernel.ndim))), down):
        x = F.conv2d(x, part.to(x.dtype).expand(C, 1, -1, -1), stride=step, groups=C)
    return x


def _passes(kernel: Tensor, step: int) -> list[tuple[Tensor, tuple[int, int]]]:
    """Split a filter into (h, w) kernels with strides: one per axis, or a single one if it is radial."""
    if kernel.ndim == 1:
        return [(kernel[None, :], (1, step)), (kernel[:, None], (step, 1))]
    return [(kernel, (step, step))]
