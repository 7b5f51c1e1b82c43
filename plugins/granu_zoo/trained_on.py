"""The datasets that the weights were trained on: credit, licence and class names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainedOn:
    """A dataset; `name` is part of the name of every weights file trained on it."""

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
    """Find the dataset in the name of a weights file or architecture."""
    return next(data for data in (MNIST, CIFAR10) if data.name in name.split("-"))
