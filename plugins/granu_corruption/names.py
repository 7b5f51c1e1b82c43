"""Names of the corruptions, as `corruption:NAME` takes them, and of weather, as `weather:NAME` does."""

from __future__ import annotations

BENCHMARK = (
    "gaussian-noise", "shot-noise", "impulse-noise", "defocus-blur", "glass-blur", "motion-blur", "zoom-blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic-transform", "pixelate", "jpeg-compression",
)  # fmt: skip
"""The 15 corruptions of ImageNet-C whose mean is reported, in the order of the paper."""

EXTRA = ("speckle-noise", "gaussian-blur", "spatter", "saturate")
"""Four more, which the authors keep for validation."""

NAMES = (*BENCHMARK, *EXTRA)

COLOUR_ONLY = ("saturate",)
"""Corruptions that need colour images."""

WEATHER = ("fog", "snow")
"""Weather whose pattern is searched."""
