"""Settings of a hardening: read by the rules of an offer's options, without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from granu.plugins.options import option, option_values, typed_name

# settings that say when to stop, and may be raised when a finished command is repeated
LIMITS = ("rounds", "minutes")
WITHOUT_EFFECT = (*LIMITS, "device")


@dataclass(frozen=True)
class HardenSettings:
    """Settings of a hardening. Each round measures, trains against one change, and measures again on other images."""

    rounds: int = option(3, "trainings at most", low=1, high=1000)
    minutes: float | None = option(None, "no round begins after these minutes; by default there is no limit", low=0)
    count: int = option(50, "images of each measurement: to choose by, to judge by, and for the report", low=5)
    seed: int = option(0, "the same seed gives the same images, trainings and choices", low=0)
    epochs: int = option(4, "passes through the training images in each round", low=1)
    images: int = option(10_000, "training images to draw, where --data names a generator", low=1)
    size: float = option(
        1.0, "size to train against, as a share of the reference's median size there", low=0.01, high=100
    )
    steps: int = option(5, "gradient steps of the attack in training", low=1, high=1000)
    clean_loss: float = option(1.0, "points of clean accuracy that may be lost in all", low=0, high=100)
    clean_images: int = option(1000, "images on which clean accuracy is measured", low=20)
    batch: int = option(50, "images at a time in measurements; affects memory, not results", low=1)
    keep: int = option(8, "changed images kept for the report", low=0)
    device: str = option("auto", "auto, cpu, cuda or cuda:1")

    def as_json(self) -> dict[str, object]:
        """All settings by the name that a person types."""
        return option_values(self)


def setting_names() -> tuple[str, ...]:
    """Names of all settings as a person types them."""
    return tuple(typed_name(field.name) for field in fields(HardenSettings))
