"""Sources of a run's images: drawn by a generator or read from a dataset, the same ones every time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from granu.errors import ClassifierError, DataError, suggest
from granu.images.ops import clamp_for_descent, quantize
from granu.plugins.imagenet import wordnet_id
from granu.runs.fingerprints import image_hash
from granu.streams import Streams
from granu.types import Batch, Classifier, Dataset, DrawingGenerator, Generator


@dataclass(frozen=True)
class Unreadable:
    """A broken image: its id, and a sentence that says how it is broken."""

    image: str
    reason: str


class Labelled(Protocol):
    """A thing whose labels are of some classes."""

    classes: Sequence[str]
    named: bool  # False where `classes` are mere numbers, because nobody gave names


class Source(Labelled, Protocol):
    """Images by position: 0, 1, 2, ..."""

    def __len__(self) -> int: ...
    def image_id(self, position: int) -> str: ...
    def batches(self, positions: Sequence[int]) -> Iterator[Batch | Unreadable]: ...


class GeneratorSource:
    """Seeds 0, 1, 2, ... of a generator, its classes in turn. An image's id is `NAME#SEED`."""

    named = True

    def __init__(self, generator: DrawingGenerator, name: str, seed: int, device: str) -> None:
        self.generator, self.name, self.seed, self.device = generator, name, seed, device
        self.classes = generator.classes

    def __len__(self) -> int:
        return 2**31

    def image_id(self, position: int) -> str:
        return f"{self.name}#{position}"

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
    """A seeded sample of a dataset, in the order of the sample: asking for more keeps the first ones.

    A dataset with `in_order` is taken in its own order.
    """

    def __init__(self, dataset: Dataset, seed: int, device: str) -> None:
        self.dataset, self.device = dataset, device
        self.classes, self.named = dataset.classes, getattr(dataset, "named", True)
        count = len(dataset)
        shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
        self.order: Sequence[int] = range(count) if getattr(dataset, "in_order", False) else shuffled

    def __len__(self) -> int:
        return len(self.order)

    def image_id(self, position: int) -> str:
        return self.dataset.image_id(self.order[position])

    def image_hash(self, position: int) -> str | None:
        """A short hash of the image's present pixels and class; None where it cannot be read."""
        try:
            image, label = self.dataset.read(self.order[position])
        except DataError:
            return None
        return image_hash(image, self.classes[label])

    def batches(self, positions: Sequence[int]) -> Iterator[Batch | Unreadable]:
        """Batches of one shape each, since the images of a folder differ in size."""
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
            hashes = tuple(image_hash(image, self.classes[label]) for _, image, label in items)
            stacked = quantize(torch.stack(images)).to(self.device)
            yield Batch(stacked, torch.tensor(labels, device=self.device), ids, hashes=hashes)


def names_of(classifier: Classifier | Generator, ours: Sequence[str]) -> Sequence[str]:
    """Names of a classifier's outputs, or of a generator's classes, for images of the classes `ours`.

    One without names (`named` is False) with as many outputs was trained on these classes in this order.
    """
    known = getattr(classifier, "named", True) or set(ours) <= set(classifier.classes)
    return classifier.classes if known or len(ours) != len(classifier.classes) else ours


def match_classes(source: Labelled, classifier: Classifier, source_name: str, name: str) -> Tensor | None:
    """The classifier's class number for each class of the source, (K,); None where the source has no classes.

    ClassifierError where a class of the source is not among the classifier's.
    """
    ours, theirs = source.classes, names_of(classifier, source.classes)
    if not ours:
        return None
    numbers, missing = _class_numbers(source, theirs)
    if missing:
        raise ClassifierError(
            f"the classes of '{source_name}' ({len(ours)}: {few(ours)}) are not those of '{name}' "
            f"({len(theirs)}: {few(theirs)}); take a classifier of the same classes, or name its outputs with classes="
            + (_CONVERT if isinstance(source, GeneratorSource) and _are_numbers(ours) else "")
        )
    return numbers


def match_generator(source: Labelled, generator: Generator, source_name: str, name: str) -> Tensor | None:
    """The generator's class number for each class of the source, (K,); None for a generator without classes.

    DataError where a class of the source is not among the generator's.
    """
    if not generator.classes:
        return None
    if not source.classes:
        raise DataError(f"`{source_name}` has images without classes, and `{name}` encodes images of a class")
    theirs = names_of(generator, source.classes)
    numbers, missing = _class_numbers(source, theirs)
    if missing:
        more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        raise DataError(
            f"`{name}` cannot encode `{source_name}`: its class '{missing[0]}'{more} unknown to the generator; "
            + suggest(missing[0], theirs)
        )
    return numbers


def _class_numbers(source: Labelled, theirs: Sequence[str]) -> tuple[Tensor, list[str]]:
    """The number among `theirs` for each class of the source, (K,), by name; and the classes that are not there.

    Classes without names are numbers already.
    """
    ours = source.classes
    if not source.named and len(ours) <= len(theirs):
        return torch.arange(len(ours)), []
    numbers = numbers_by_name(ours, theirs)
    missing = [class_name for class_name, number in zip(ours, numbers, strict=True) if number is None]
    return torch.tensor([-1 if number is None else number for number in numbers]), missing


def numbers_by_name(names: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """The number of each name among the `known` ones; None where it is not among them.

    Upper and lower case are the same, and so are the WordNet id and the names of a class of ImageNet.
    """
    numbers = {name.casefold(): number for number, name in enumerate(known)}
    by_id = {wordnet_id(name): number for number, name in enumerate(known)}
    return [numbers.get(name.casefold(), by_id.get(wordnet_id(name))) for name in names]


_CONVERT = ", or the generator's with `granu convert ... --classes`"


def _are_numbers(names: Sequence[str]) -> bool:
    return list(names) == [str(number) for number in range(len(names))]


def few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
