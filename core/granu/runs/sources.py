"""Where the images of a run come from: drawn by a generator, or read from a dataset. The same ones every time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from granu.errors import ClassifierError, DataError
from granu.images.ops import quantize, clamp_for_descent
from granu.streams import Streams
from granu.types import Batch, Classifier, Dataset, Generator


@dataclass(frozen=True)
class Unreadable:
    """An image that is broken: its id and the sentence that says how."""

    image: str
    reason: str


class Source(Protocol):
    """Images by position: 0, 1, 2, ..."""

    classes: Sequence[str]

    def __len__(self) -> int: ...
    def image_id(self, position: int) -> str: ...
    def batches(self, positions: Sequence[int]) -> Iterator[Batch | Unreadable]: ...


class GeneratorSource:
    """Seeds 0, 1, 2, ... of a generator, its classes in turn. An image's id is `generator#seed`."""

    def __init__(self, generator: Generator, key: str, seed: int, device: str) -> None:
        self.generator, self.key, self.seed, self.device = generator, key, seed, device
        self.classes = generator.classes

    def __len__(self) -> int:
        return 2**31

    def image_id(self, position: int) -> str:
        return f"{self.key}#{position}"

    def batches(self, positions: Sequence[int]) -> Iterator[Batch | Unreadable]:
        """One batch, with the latents that the sites of this generator edit."""
        ids = tuple(self.image_id(position) for position in positions)
        chosen = self.generator.labels
        labels = torch.tensor([chosen[p % len(chosen)] for p in positions], device=self.device) if chosen else None
        with torch.no_grad():
            latent = self.generator.draw(Streams(self.seed, ids, "draw", self.device), labels)
            images = quantize(clamp_for_descent(self.generator.tail(latent, ["image"])({})))
        yield Batch(images, latent.labels, ids, latent)


class DatasetSource:
    """A seeded sample of a dataset, in the order of the sample: asking for more keeps the first ones."""

    def __init__(self, dataset: Dataset, seed: int, device: str) -> None:
        self.dataset, self.device = dataset, device
        self.classes = dataset.classes
        self.order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed)).tolist()

    def __len__(self) -> int:
        return len(self.order)

    def image_id(self, position: int) -> str:
        return self.dataset.image_id(self.order[position])

    def batches(self, positions: Sequence[int]) -> Iterator[Batch | Unreadable]:
        """Batches of one shape each, since images of a folder differ in size."""
        by_shape: dict[tuple[int, ...], list[tuple[str, Tensor, int]]] = {}
        for position in positions:
            id_ = self.image_id(position)
            try:
                image, label = self.dataset.read(self.order[position])
            except DataError as problem:
                yield Unreadable(id_, str(problem))
                continue
            by_shape.setdefault(tuple(image.shape), []).append((id_, image, label))
        for items in by_shape.values():
            ids, images, labels = zip(*items, strict=True)
            stacked = quantize(torch.stack(images)).to(self.device)
            yield Batch(stacked, torch.tensor(labels, device=self.device), ids)


def names_of(classifier: Classifier, ours: Sequence[str]) -> Sequence[str]:
    """What a classifier's outputs are called, where images have the classes `ours`.

    One without names (`named` is False), and with as many outputs, was trained on classes in this order.
    """
    known = getattr(classifier, "named", True) or set(ours) <= set(classifier.classes)
    return classifier.classes if known or len(ours) != len(classifier.classes) else ours


def match_classes(ours: Sequence[str], theirs: Sequence[str], source: str, classifier: str) -> Tensor | None:
    """Which class number of the classifier each of the source's means, (K,); None where the source has none.

    ClassifierError where a name of the source is not among the classifier's.
    """
    if not ours:
        return None
    numbers = {name.casefold(): number for number, name in enumerate(theirs)}
    unknown = [name for name in ours if name.casefold() not in numbers]
    if unknown:
        raise ClassifierError(
            f"the classes of '{source}' ({len(ours)}: {_few(ours)}) are not those of '{classifier}' "
            f"({len(theirs)}: {_few(theirs)}); take a classifier of the same classes, or name its outputs with classes="
        )
    return torch.tensor([numbers[name.casefold()] for name in ours])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
