"""Classifiers with another number of outputs than the training images have classes, and what to type instead."""

from __future__ import annotations

from typing import cast

from granu.errors import ClassifierError, GranuError
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import Resolved
from granu.plugins.context import BuildContext
from granu.plugins.spec import Spec
from granu.runs.sources import DatasetSource, match_classes
from granu.types import Classifier, Dataset

NEW_HEADS: tuple[dict[str, str], ...] = ({}, {"init": "random"})  # beside classes=, what may be needed to choose them


def check_outputs(
    classifier: ImageClassifier, given: Resolved, dataset: Dataset, data: str, context: BuildContext
) -> None:
    """Raise ClassifierError if the classes do not fit because their numbers differ, with a spec that has as many.

    A classifier of more classes, among which are all those of the images, fits.
    """
    count = len(dataset.classes)
    if count in (0, 1, len(classifier.classes)):
        return
    try:
        match_classes(DatasetSource(dataset, 0, "cpu"), cast(Classifier, classifier), data, str(given.spec))
    except ClassifierError:
        spec = spec_with_outputs(given, count, context)
        remedy = f"write --classifier {spec}" if spec else f"start from a network with {count} outputs"
        raise ClassifierError(
            f"`{given.spec}` has {len(classifier.classes)} outputs and `{data}` {count} classes; {remedy}"
        ) from None


def spec_with_outputs(given: Resolved, count: int, context: BuildContext) -> str | None:
    """The spec of the same classifier with `count` new outputs; None if its plugin cannot make them."""
    if given.offer.network is None:  # the outputs are those of a person's own code
        return None
    for options in NEW_HEADS:
        values = {**dict(given.spec.options), **options, "classes": str(count)}
        spec = Spec(given.spec.name, given.spec.target, tuple(sorted(values.items())))
        try:
            context.check("classifier", str(spec))
        except GranuError:
            continue
        return str(spec)
    return None
