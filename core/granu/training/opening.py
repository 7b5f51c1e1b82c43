"""Opening of what a training plan names: the classifier, its defenses, and the images, checked against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from granu.errors import ClassifierError, DataError, OptionError, PluginError
from granu.images.classifier import ImageClassifier
from granu.images.ops import fit_channels
from granu.plugins.catalog import Resolved
from granu.plugins.context import BuildContext
from granu.runs.sources import DatasetSource, match_classes
from granu.training.augment import CROPS
from granu.training.data import Fit, ImageSet, Report, Selection, open_selection, permutation
from granu.training.defense import Defense
from granu.training.machine import batch_on
from granu.training.plan import TrainPlan
from granu.training.settings import TrainingSettings
from granu.types import Classifier, Dataset
from granu.weights.trained import check_can_be_saved


@dataclass(frozen=True)
class Parts:
    """Positions of the images that train and of those that validate."""

    training: Sequence[int]
    validation: Sequence[int]


def open_classifier(plan: TrainPlan, context: BuildContext) -> ImageClassifier:
    """The classifier with all of its parameters trainable; random weights are those of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.settings.seed)
        classifier = context.make(plan.classifier)
    name = str(plan.classifier.spec)
    if not isinstance(classifier, ImageClassifier):
        raise ClassifierError(f"`{name}` cannot be trained: its plugin gives no network (granu.ImageClassifier)")
    check_can_be_saved(classifier, context)
    if not any(parameter.is_floating_point() for parameter in classifier.parameters()):
        raise ClassifierError(f"`{name}` cannot be trained: it has no parameters")
    return classifier.to(context.device).requires_grad_(True)


def open_defenses(plan: TrainPlan, classifier: ImageClassifier, context: BuildContext) -> tuple[Defense, ...]:
    """The defenses in their order, the classifier prepared for them."""
    defenses = []
    for resolved in plan.defenses:
        defense = context.make(resolved)
        if not isinstance(defense, Defense):
            raise PluginError(f"`{resolved.spec}` did not build a granu.Defense")
        defense.prepare(classifier)
        defenses.append(defense)
    if not any(parameter.requires_grad for parameter in classifier.parameters()):
        raise ClassifierError(f"nothing of `{plan.classifier.spec}` is left to train: every part of it is frozen")
    return tuple(defenses)


def divide(settings: TrainingSettings, count: int, separate: int | None) -> Parts:
    """Divide `count` images: all train if there are `separate` validation images, otherwise a part is held out."""
    if separate is not None:
        return Parts(range(count), range(separate))
    held_out = round(count * settings.hold_out)
    order = permutation(count, settings.seed)
    return Parts(sorted(order[held_out:]), sorted(order[:held_out]))


def check_sizes(settings: TrainingSettings, images: int, processes: int) -> None:
    """Raise unless there is a batch of training images, which the processes can share equally."""
    if settings.batch % processes:
        raise OptionError(f"--batch {settings.batch} cannot be divided equally among {processes} processes")
    if images < settings.batch:
        raise DataError(f"{images} training images are fewer than a batch of {settings.batch}; lower --batch")


def adopt_names(classifier: ImageClassifier, dataset: Dataset) -> None:
    """Name the outputs of a classifier without names after the classes of its training images."""
    named = getattr(dataset, "named", True)
    if not classifier.named and named and len(classifier.classes) == len(dataset.classes):
        classifier.classes, classifier.named = tuple(dataset.classes), True


def select(
    plan: TrainPlan, resolved: Resolved, dataset: Dataset, positions: Sequence[int], classifier: ImageClassifier
) -> Selection:
    """Images of a dataset as this training keeps them. An error if their classes are not those of the classifier."""
    name = str(resolved.spec)
    if len(dataset.classes) < 2:
        raise DataError(f"`{name}` holds images of one class only ({dataset.classes[0]}); training needs at least two")
    source = DatasetSource(dataset, plan.settings.seed, "cpu")
    numbers = match_classes(source, cast(Classifier, classifier), name, str(plan.classifier.spec))
    if numbers is None:
        raise DataError(f"the images of `{name}` have no classes, so nothing can be learned from them")
    crops = resolved is plan.data and plan.settings.augment == CROPS
    return Selection(dataset, positions, numbers.tolist(), _fit(classifier, crops), name)


def try_out(classifier: ImageClassifier, selection: Selection) -> None:
    """Classify one image before all are read. ClassifierError if the network cannot take it."""
    image = next(selection.readable(), None)
    if image is None:
        return
    device = next(classifier.parameters()).device
    try:
        with torch.no_grad():
            classifier.eval()(batch_on(device, image[None]))
    except (RuntimeError, ValueError, IndexError, AssertionError) as problem:
        size = "x".join(map(str, image.shape))
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ClassifierError(
            f"'{classifier.name}' cannot take the images of `{selection.name}`, {size} here ({reason}); state the "
            "network's input size in its spec, or add size=N to that of the data"
        ) from None


def read_images(selection: Selection, settings: TrainingSettings, report: Report) -> ImageSet:
    """The selected images, checked to show more than one class."""
    images = open_selection(selection, settings.memory, settings.readers, report)
    labels = getattr(images, "labels", None)
    if isinstance(labels, Tensor) and len(labels) > 1 and len(labels.unique()) == 1:
        raise DataError(f"all {len(labels)} images of `{selection.name}` are of one class; training needs at least two")
    return images


def _fit(classifier: ImageClassifier, crops: bool) -> Fit:
    channels = classifier.channels

    def whole(image: Tensor) -> Tensor:
        return classifier.fitted(image[None])[0]

    def original(image: Tensor) -> Tensor:
        return image if channels is None else fit_channels(image[None], channels)[0]

    return original if crops else whole
