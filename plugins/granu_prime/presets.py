"""Strengths of the primitives as published, for small images and for photographs; importable without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SMALL = 64  # pixels of the shorter side up to which images take the preset of CIFAR


@dataclass(frozen=True)
class Preset:
    """Bounds of the random parameters; see the primitives."""

    colour_cut: int
    colour_temperature: float
    colour_band: int  # 0: no band
    warp_cut: int


PRESETS = {"cifar": Preset(100, 0.01, 0, 100), "imagenet": Preset(500, 0.05, 20, 500)}


def preset_for(name: str, size: Sequence[int]) -> Preset:
    """The preset of that name; "auto" chooses by the size (H, W) of the images."""
    if name == "auto":
        name = "cifar" if min(size) <= SMALL else "imagenet"
    return PRESETS[name]
