"""Settings of a training: read from flags and from a TOML file by the rules of an offer's options, without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from granu.errors import OptionError
from granu.plugins.options import option, option_values

OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("one-cycle", "cosine", "milestones", "constant")
AUGMENTATIONS = ("none", "jitter", "shift-flip", "resized-crop-flip")
PRECISIONS = ("float32", "bfloat16")

RATES = {"adamw": 0.001, "sgd": 0.05}
DECAYS = {"adamw": 0.01, "sgd": 0.0005}

# settings that change how long a training takes, or its last digits, but not what is trained
WITHOUT_EFFECT = ("device", "memory", "readers", "checkpoint-seconds")


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training; the loss of a step is that of the defenses."""

    epochs: int = option(10, "passes through the training images", low=1)
    batch: int = option(128, "images per step, over all processes", low=1)
    seed: int = option(0, "seed of everything random; the same seed gives the same result", low=0)
    precision: str = option("float32", "precision of the training passes", choices=PRECISIONS)
    device: str = option("auto", "auto, cpu, cuda or cuda:1; with several processes, auto or cpu")
    optimizer: str = option("adamw", "optimiser", choices=OPTIMISERS)
    lr: float | None = option(None, "largest learning rate; by default 0.001 for adamw, 0.05 for sgd", low=0)
    momentum: float = option(0.9, "momentum of sgd, beta1 of adamw", low=0, high=0.9999)
    nesterov: bool = option(True, "Nesterov momentum, for sgd")
    weight_decay: float | None = option(None, "weight decay; by default 0.01 for adamw, 0.0005 for sgd", low=0)
    schedule: str = option("one-cycle", "course of the learning rate", choices=SCHEDULES)
    warmup: float | None = option(
        None, "share of the steps in which the rate rises; by default 0.3 for one-cycle, otherwise 0", low=0, high=0.9
    )
    cycle_momentum: bool = option(False, "one-cycle: lower the momentum to 0.85 while the rate is high, from 0.95")
    milestones: tuple[int, ...] = option((), "epochs after which the rate is multiplied by lr-factor, like 30+60")
    lr_factor: float = option(0.1, "factor of the learning rate at a milestone", low=0, high=1)
    clip: float = option(0.0, "largest L2 norm of the gradient; 0 does not clip", low=0)
    ema: float = option(
        0.0, "decay of the moving average of the weights, which is then saved; 0 for none", low=0, high=1
    )
    augment: str = option("none", "augmentation before the defenses", choices=AUGMENTATIONS)
    images: int = option(10_000, "images to draw, where --data or --val names a generator", low=1)
    hold_out: float = option(0.05, "share of the training images that validates, without --val", low=0, high=0.9)
    robust_images: int = option(1000, "validation images on which robust accuracy is measured, at most", low=0)
    memory: float = option(2.0, "images are kept in memory up to this many GB, otherwise read for each batch", low=0)
    readers: int = option(4, "threads that read images", low=1, high=256)
    checkpoint_seconds: float = option(60.0, "seconds between checkpoints within an epoch", low=0)

    def __post_init__(self) -> None:
        if self.schedule == "milestones" and not self.milestones:
            raise OptionError("schedule=milestones needs the epochs, for example --milestones 30+60")
        if self.milestones and self.schedule != "milestones":
            raise OptionError(f"milestones have no effect with schedule={self.schedule}; add --schedule milestones")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise OptionError(f"milestones must rise, not {'+'.join(map(str, self.milestones))}")
        if self.milestones and not 0 < self.milestones[0] <= self.milestones[-1] < self.epochs:
            raise OptionError(f"milestones must lie between 1 and {self.epochs - 1}, before the last of the epochs")
        if self.cycle_momentum and self.schedule != "one-cycle":
            raise OptionError(f"cycle-momentum has no effect with schedule={self.schedule}")

    @property
    def rate(self) -> float:
        """The largest learning rate."""
        return RATES[self.optimizer] if self.lr is None else self.lr

    @property
    def decay(self) -> float:
        """The weight decay."""
        return DECAYS[self.optimizer] if self.weight_decay is None else self.weight_decay

    @property
    def rising(self) -> float:
        """The share of the steps in which the learning rate rises."""
        return (0.3 if self.schedule == "one-cycle" else 0.0) if self.warmup is None else self.warmup

    def as_json(self) -> dict[str, Any]:
        """All settings by the name that a person types, with the defaults that depend on others filled in."""
        values = option_values(self)
        return values | {
            "lr": self.rate,
            "weight-decay": self.decay,
            "warmup": self.rising,
            "milestones": list(self.milestones),
        }


def setting_names() -> tuple[str, ...]:
    """Names of all settings as a person types them."""
    return tuple(field.name.replace("_", "-") for field in fields(TrainingSettings))
