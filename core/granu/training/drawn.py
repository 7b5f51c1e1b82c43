"""A generator's images as a dataset, so that a training needs no files."""

from __future__ import annotations

from threading import Lock

import torch
from torch import Tensor

from granu.errors import OptionError
from granu.plugins.built import as_drawing
from granu.plugins.catalog import Resolved
from granu.plugins.context import BuildContext
from granu.runs.sources import GeneratorSource
from granu.types import Batch, Dataset, DrawingGenerator

BLOCK = 250  # images drawn together


class DrawnImages:
    """The first `count` images that a generator draws for training, its classes in turn.

    Their ids, and so their random streams, are others than those of the images that an evaluation draws: no classifier
    is evaluated on images that it was trained on, whatever the seeds.
    """

    def __init__(self, generator: DrawingGenerator, name: str, count: int, seed: int, device: str) -> None:
        if not generator.classes:
            raise OptionError(f"`{name}` draws images without classes; training needs their labels")
        self.source = GeneratorSource(generator, f"{name}/training", seed, device)
        self.classes = generator.classes
        self.count = count
        self._blocks: dict[int, tuple[Tensor, Tensor]] = {}  # number -> images (b, C, H, W) uint8, labels (b,)
        self._lock = Lock()

    def __len__(self) -> int:
        return self.count

    def image_id(self, index: int) -> str:
        """`NAME/training#0`, `NAME/training#1`, ..."""
        return self.source.image_id(index)

    def read(self, index: int) -> tuple[Tensor, int]:
        """Image (C, H, W) in [0, 1] and its class number."""
        images, labels = self._block(index // BLOCK)
        return images[index % BLOCK].float() / 255, int(labels[index % BLOCK])

    def _block(self, number: int) -> tuple[Tensor, Tensor]:
        with self._lock:
            if number not in self._blocks:
                positions = range(number * BLOCK, min((number + 1) * BLOCK, self.count))
                (batch,) = self.source.batches(positions)
                assert isinstance(batch, Batch)
                self._blocks[number] = ((batch.images * 255).round().to(torch.uint8).cpu(), batch.labels.cpu())
            return self._blocks[number]


def open_dataset(resolved: Resolved, context: BuildContext, count: int, seed: int) -> Dataset:
    """The dataset that a spec names, or `count` images of the generator that it names."""
    built = context.make(resolved)
    if resolved.offer.kind == "dataset":
        return built
    return DrawnImages(as_drawing(built, resolved.spec), resolved.spec.name, count, seed, context.device)
