"""The network of a person's own code: a file of its weights does not contain it, so it is named beside the file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from granu import ClassifierError, TrainedHeader

if TYPE_CHECKING:
    from torch import nn

    from granu import BuildContext


def check_own_network(spec: str, header: TrainedHeader, context: BuildContext) -> None:
    """Check what can be known of the network before it is built."""
    context.check("classifier", with_input(spec, header, context))


def build_own_network(spec: str, header: TrainedHeader, context: BuildContext) -> nn.Module:
    """Build the network, with whatever weights it has. ClassifierError if the spec builds none."""
    from granu import ImageClassifier

    classifier = context.build("classifier", with_input(spec, header, context))
    if not isinstance(classifier, ImageClassifier):
        raise ClassifierError(f"network={spec} builds no network; name one like python:mymodel.py:build")
    return classifier.network


def with_input(spec: str, header: TrainedHeader, context: BuildContext) -> str:
    """The spec with the input size and channels that the file states, if it takes such options and gives none."""
    resolved = context.resolve("classifier", spec)
    preprocessing = header.preprocessing
    known = {"channels": preprocessing.channels, "size": preprocessing.size and "x".join(map(str, preprocessing.size))}
    taken = {field.name for field in dataclasses.fields(resolved.offer.options)}
    given = {key for key, _ in resolved.spec.options}
    added = [f",{key}={value}" for key, value in known.items() if value and key in taken - given]
    return spec + "".join(added)
