"""Clean samples of a generator, over which the standard deviations at its sites are measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from granu.streams import Streams
from granu.types import DrawingGenerator, Generator, Latent

UNCONDITIONAL = -1  # the group of samples of a generator without classes
ACROSS = -2  # samples of all classes in turn


class Samples(Protocol):
    """Latents of clean images, in groups; each group has standard deviations of its own."""

    device: str

    @property
    def generator(self) -> Generator: ...

    def __len__(self) -> int:
        """The number of samples of a group."""

    def group(self, label: int) -> int:
        """The group whose deviations are the unit for images of a class of the generator."""

    def wider(self) -> int | None:
        """The group for sites that are constant within a group; None where there is no other."""

    def identity(self, group: int) -> str:
        """A text that changes with all that the group's activations depend on."""

    def latents(self, group: int, at_once: int) -> Iterator[Latent]:
        """All samples of a group, at most `at_once` at a time."""


class DrawnSamples:
    """Images that a generator draws, `count` of each class. Their streams are fixed, so every run has one unit."""

    def __init__(self, generator: DrawingGenerator, count: int, device: str) -> None:
        self.generator, self.count, self.device = generator, count, device

    def __len__(self) -> int:
        return self.count

    def group(self, label: int) -> int:
        """A class; the samples of a generator without classes are one group."""
        return label if self.generator.classes else UNCONDITIONAL

    def wider(self) -> int | None:
        """Samples of all classes."""
        return ACROSS if len(self.generator.classes) > 1 else None

    def identity(self, group: int) -> str:
        return f"{self.generator.fingerprint}|{group}|{self.count}"

    def latents(self, group: int, at_once: int) -> Iterator[Latent]:
        for start in range(0, self.count, at_once):
            positions = range(start, min(start + at_once, self.count))
            streams = Streams(0, [f"clean-{group}-{i}" for i in positions], "statistics", self.device)
            yield self.generator.draw(streams, self._labels(group, positions))

    def _labels(self, group: int, positions: range) -> Tensor | None:
        """The classes of samples; those of ACROSS are spread evenly over all classes, whichever are drawn."""
        if group == UNCONDITIONAL:
            return None
        if group != ACROSS:
            return torch.full((len(positions),), group, device=self.device)
        K, count = len(self.generator.classes), self.count
        return torch.tensor([i % K if count >= K else i * K // count for i in positions], device=self.device)
