"""Labelled images beside those of a step: drawn by a generator, or read from a dataset.

Which images a step receives depends on its streams alone, so on neither the number of processes nor an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from granu.errors import ClassifierError, OptionError
from granu.images.ops import clamp_for_descent, quantize
from granu.plugins.built import as_drawing
from granu.plugins.spec import parse_spec
from granu.runs.sources import few, match_classes, names_of
from granu.streams import Streams
from granu.types import Batch, Classifier, Dataset, DrawingGenerator

if TYPE_CHECKING:
    from granu.images.classifier import ImageClassifier
    from granu.plugins.context import BuildContext


class LabelledImages(Protocol):
    """A supply of labelled images, with the classifier's class numbers as labels."""

    def draw(self, classifier: ImageClassifier, labels: Tensor, streams: Streams) -> Batch:
        """One image for each of the streams; `labels` (B,) are the classes wanted, where there is a choice."""


class GeneratedImages:
    """Images that a generator draws, of the classes wanted."""

    def __init__(self, generator: DrawingGenerator, name: str) -> None:
        if not generator.classes:
            raise OptionError(f"`{name}` draws images without classes; training needs their labels")
        self.generator, self.name = generator, name

    def check(self, classifier: Classifier) -> None:
        """ClassifierError where the generator draws a class that the classifier does not tell apart."""
        self._drawn(classifier)

    def draw(self, classifier: ImageClassifier, labels: Tensor, streams: Streams) -> Batch:
        """Images of the classes `labels` (B,); of a random class where the generator draws none of the one wanted."""
        drawn = self._drawn(classifier)  # the classifier's class -> the generator's
        wanted = _among(list(drawn), labels, streams)
        ours = torch.tensor([drawn[label] for label in wanted.tolist()], device=streams.device)
        with torch.no_grad(), torch.autocast(labels.device.type, enabled=False):
            latent = self.generator.draw(streams.scope("draw"), ours)
            images = quantize(clamp_for_descent(self.generator.tail(latent, ["image"])({})))
        return Batch(images, wanted, streams.ids, latent)

    def _drawn(self, classifier: Classifier) -> dict[int, int]:
        """The classes that the generator draws: the classifier's number -> the generator's."""
        names = names_of(classifier, self.generator.classes)
        numbers = {name.casefold(): number for number, name in enumerate(names)}
        ours = {label: self.generator.classes[label] for label in self.generator.labels}
        if missing := [name for name in ours.values() if name.casefold() not in numbers]:
            raise ClassifierError(
                f"`{self.name}` draws {few(missing)}, which the classifier does not tell apart ({few(names)}); "
                "choose among its classes with the generator's options, or train a classifier of the same classes"
            )
        return {numbers[name.casefold()]: label for label, name in ours.items()}


class DatasetImages:
    """Images of a dataset, chosen at random with replacement, at the size that the classifier takes."""

    def __init__(self, dataset: Dataset, name: str) -> None:
        self.dataset, self.name = dataset, name
        self.classes: Sequence[str] = dataset.classes
        self.named: bool = getattr(dataset, "named", True)

    def draw(self, classifier: ImageClassifier, labels: Tensor, streams: Streams) -> Batch:
        """Images whatever their class; `labels` are not used."""
        numbers = match_classes(self, classifier, self.name, classifier.name)
        positions = streams.integers(len(self.dataset)).tolist()
        images, classes = zip(*(self.dataset.read(position) for position in positions), strict=True)
        fitted = [classifier.fitted(image[None].to(labels.device)) for image in images]
        theirs = torch.tensor(classes)
        theirs = theirs if numbers is None else numbers[theirs]
        ids = tuple(self.dataset.image_id(position) for position in positions)
        return Batch(torch.cat(fitted).clamp(0, 1), theirs.to(labels.device), ids)


def _among(known: Sequence[int], labels: Tensor, streams: Streams) -> Tensor:
    """The labels (B,), those that are not `known` replaced by random ones that are."""
    choice = torch.tensor(known, device=labels.device)
    inside = torch.isin(labels, choice)
    if inside.all():
        return labels
    random = choice[streams.scope("class").integers(len(choice)).to(labels.device)]
    return torch.where(inside, labels, random)


def open_images(spec: str, context: BuildContext) -> LabelledImages:
    """The images of a generator or a dataset that a spec names."""
    resolved = context.catalog.resolve_images(parse_spec(spec))
    if resolved.offer.kind == "dataset":
        return DatasetImages(context.make(resolved), spec)
    return GeneratedImages(as_drawing(context.make(resolved), spec), spec)
