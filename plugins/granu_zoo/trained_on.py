"""What the weights were trained on: whom to credit, under which licence they are, and the names of the classes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainedOn:
    """A data set; `name` is part of the name of every weights file trained on it."""

    name: str
    credit: str
    licence: str  # of the weights
    classes: tuple[str, ...]
    channels: int


MNIST = TrainedOn("mnist", "MNIST (LeCun, Cortes, Burges)", "CC BY-SA 3.0", tuple("0123456789"), 1)
CIFAR10 = TrainedOn(
    "cifar10",
    "CIFAR-10 (Krizhevsky 2009)",
    "Apache-2.0",
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    3,
)


def trained_on(name: str) -> TrainedOn:
    """The data set of a weights file or architecture, by its name."""
    return next(data for data in (MNIST, CIFAR10) if data.name in name.split("-"))
