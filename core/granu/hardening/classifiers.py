"""Classifiers of a hardening as plans take them: the start, what rounds trained, and the reference."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from granu.errors import ClassifierError
from granu.given import resolve_thing
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import Resolved
from granu.plugins.offers import ClassifierOffer
from granu.runs.sources import few, names_of, numbers_by_name
from granu.types import Classifier
from granu.weights.trained import load_trained, read_trained

if TYPE_CHECKING:
    from granu.plugins.context import BuildContext


@dataclass(frozen=True)
class OpenTrained:
    """The `make` of an offer for a file that a round wrote; `start` gives the network where no plugin rebuilds it."""

    file: Path
    start: Resolved

    def __call__(self, options: Any, context: BuildContext) -> Any:
        network = None if read_trained(self.file).architecture else copy.deepcopy(context.make(self.start).network)
        return load_trained(self.file, context, name=self.file.stem, network=network)


@dataclass(frozen=True)
class Copied:
    """The `make` of an offer that copies what another gives, and builds it with the random numbers of a seed.

    Training changes a network that was given from Python, and random weights must be the same in every phase.
    """

    make: Any
    seed: int

    def __call__(self, options: Any, context: BuildContext) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            return copy.deepcopy(self.make(options, context))


def copied(resolved: Resolved, seed: int) -> Resolved:
    """A classifier that is built anew, and alike, wherever it is needed."""
    offer = replace(resolved.offer, make=Copied(resolved.offer.make, seed))
    return replace(resolved, entry=replace(resolved.entry, offer=offer))


def trained(file: Path, start: Resolved) -> Resolved:
    """A classifier that a round trained, named after its file."""
    offer = ClassifierOffer(name=file.stem, summary="trained by granu harden", make=OpenTrained(file, start))
    return resolve_thing(offer)


def check_pair(classifier: Resolved, reference: Resolved, context: BuildContext) -> None:
    """ClassifierError unless the classifier is a network, and the reference tells the same classes apart."""
    one, two = (cast(Classifier, context.make(resolved)) for resolved in (classifier, reference))
    if not isinstance(one, ImageClassifier):
        raise ClassifierError(
            f"`{classifier.spec}` cannot be trained: its plugin gives no network (granu.ImageClassifier)"
        )
    theirs = names_of(two, one.classes)
    if len(theirs) != len(one.classes) or None in numbers_by_name(one.classes, theirs):
        raise ClassifierError(
            f"the reference `{reference.spec}` tells other classes apart ({len(theirs)}: {few(theirs)}) than "
            f"`{classifier.spec}` ({len(one.classes)}: {few(one.classes)}); name one of the same classes"
        )
