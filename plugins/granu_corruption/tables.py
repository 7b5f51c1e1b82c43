"""Parameters of the corruptions at severities 1 to 5, as published, and between them by interpolation.

The numbers are those of ImageNet-C (224 x 224 pixels) and CIFAR-10-C (32 x 32), from the programs with which their
authors made them (Hendrycks and Dietterich 2019; Apache-2.0). Row 0 is severity 0, which changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Rows = tuple[tuple[float, ...], ...]

SEVEREST = 5.0
SMALL = 64  # pixels; images whose shorter side is at most this long take the parameters of CIFAR-10-C


@dataclass(frozen=True)
class Table:
    """Parameters of every corruption for images whose shorter side has `side` pixels; lengths are in pixels."""

    side: int
    rows: dict[str, Rows]

    def at(self, name: str, severity: Tensor) -> Tensor:
        """Parameters (B, P) of a corruption at `severity` (B,) in [0, 5]; linear between whole severities."""
        rows = torch.tensor(self.rows[name], dtype=severity.dtype, device=severity.device)
        low = severity.floor().clamp(0, SEVEREST - 1)
        share = (severity - low)[:, None]
        return torch.lerp(rows[low.long()], rows[low.long() + 1], share)


def table_for(side: int, choice: str = "auto") -> Table:
    """The table of the name `choice`; with "auto" the one for images whose shorter side has `side` pixels."""
    small = side <= SMALL if choice == "auto" else choice == "cifar"
    return CIFAR if small else IMAGENET


def _levels(zero: float, *levels: float) -> Rows:
    return tuple((level,) for level in (zero, *levels))


IMAGENET = Table(224, {
    "gaussian-noise": _levels(0, 0.08, 0.12, 0.18, 0.26, 0.38),  # standard deviation
    "shot-noise": _levels(0, 1 / 60, 1 / 25, 1 / 12, 1 / 5, 1 / 3),  # 1 / photons that make white
    "impulse-noise": _levels(0, 0.03, 0.06, 0.09, 0.17, 0.27),  # share of values
    # radius of the disc, standard deviation of its edge
    "defocus-blur": ((0, 0), (3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    # standard deviation of the blur, largest step, sweeps
    "glass-blur": ((0, 0, 1), (0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    # radius, standard deviation along the line
    "motion-blur": ((0, 0), (10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom-blur": _levels(1, 1.10, 1.15, 1.20, 1.24, 1.30),  # largest zoom
    # mean, standard deviation, zoom and threshold of the flakes, their motion blur, share of the image kept
    "snow": (
        (0.1, 0.3, 3, 1.5, 10, 4, 1), (0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7), (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65), (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    # weight of the image, weight of the frost
    "frost": ((1, 0), (1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    "fog": ((0, 2), (1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),  # weight, decay of the fractal
    "brightness": _levels(0, 0.1, 0.2, 0.3, 0.4, 0.5),  # added to the value of HSV
    "contrast": _levels(1, 0.4, 0.3, 0.2, 0.1, 0.05),  # factor
    # displacement, its smoothing, displacement of the corners of the affine map
    "elastic-transform": (
        (0, 170.8, 0), (488, 170.8, 24.4), (488, 19.52, 48.8), (12.2, 2.44, 4.88), (17.08, 2.44, 4.88),
        (29.28, 2.44, 4.88),
    ),
    "pixelate": _levels(1, 0.6, 0.5, 0.4, 0.3, 0.25),  # blocks per pixel
    "jpeg-compression": _levels(100, 25, 18, 15, 10, 7),  # quality
    "speckle-noise": _levels(0, 0.15, 0.2, 0.35, 0.45, 0.6),
    "gaussian-blur": _levels(0, 1, 2, 3, 4, 6),
    # mean, standard deviation, smoothing and threshold of the liquid, gain of water or blur of mud, share of mud
    "spatter": (
        (0.65, 0.3, 4, 0.69, 0, 0), (0.65, 0.3, 4, 0.69, 0.6, 0), (0.65, 0.3, 3, 0.68, 0.6, 0),
        (0.65, 0.3, 2, 0.68, 0.5, 0), (0.65, 0.3, 1, 0.65, 1.5, 1), (0.67, 0.4, 1, 0.65, 1.5, 1),
    ),
    "saturate": ((1, 0), (0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),  # factor and offset of the saturation
})  # fmt: skip

CIFAR = Table(32, {
    "gaussian-noise": _levels(0, 0.04, 0.06, 0.08, 0.09, 0.10),
    "shot-noise": _levels(0, 1 / 500, 1 / 250, 1 / 100, 1 / 75, 1 / 50),
    "impulse-noise": _levels(0, 0.01, 0.02, 0.03, 0.05, 0.07),
    "defocus-blur": ((0, 0), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    "glass-blur": ((0, 0, 1), (0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "motion-blur": ((0, 0), (6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom-blur": _levels(1, 1.05, 1.10, 1.15, 1.20, 1.25),
    "snow": (
        (0.1, 0.2, 1, 1.1, 8, 3, 1), (0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9), (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0), (1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "fog": ((0, 3), (0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "brightness": _levels(0, 0.05, 0.1, 0.15, 0.2, 0.3),
    "contrast": _levels(1, 0.75, 0.5, 0.4, 0.3, 0.15),
    "elastic-transform": (
        (0, 6.4, 0), (0, 6.4, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96),
    ),
    "pixelate": _levels(1, 0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg-compression": _levels(100, 80, 65, 58, 50, 40),
    "speckle-noise": _levels(0, 0.06, 0.1, 0.12, 0.16, 0.2),
    "gaussian-blur": _levels(0, 0.4, 0.6, 0.7, 0.8, 1),
    "spatter": (
        (0.62, 0.1, 0.7, 0.7, 0, 0), (0.62, 0.1, 0.7, 0.7, 0.5, 0), (0.65, 0.1, 0.8, 0.7, 0.5, 0),
        (0.65, 0.3, 1, 0.69, 0.5, 0), (0.65, 0.1, 0.7, 0.69, 0.6, 1), (0.65, 0.1, 0.5, 0.68, 0.6, 1),
    ),
    "saturate": ((1, 0), (0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
})  # fmt: skip
