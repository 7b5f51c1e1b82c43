"""`granu.train`: training from Python, with specs or with models and images that exist already."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from granu.given import Give, Preparation, given_dataset, resolve_classifiers, resolve_images, resolve_thing
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import Catalog, Resolved, load_catalog
from granu.plugins.context import BuildContext
from granu.plugins.offers import DefenseOffer
from granu.training.defense import Defense
from granu.training.plan import TrainRequest
from granu.training.planning import check_settings, make_train_plan
from granu.training.train import train as run_training
from granu.types import Dataset
from granu.weights.trained import load_trained, read_trained

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TrainResult:
    """A trained classifier, its file, and what the file's header says of the training.

    `about["before"]` and `about["after"]` hold clean and robust accuracy on the validation images.
    """

    classifier: ImageClassifier
    file: Path
    about: Mapping[str, Any]

    def __repr__(self) -> str:
        after = self.about["after"]
        return f"TrainResult({str(self.file)!r}, clean={after['clean']}, robust={after['robust']})"


def train(
    classifier: Any,
    data: Any,
    defenses: str | Defense | Sequence[str | Defense] = (),
    *,
    out: str | Path,
    val: Any = None,
    settings: Mapping[str, Any] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a classifier as `granu train` does; an interrupted call, repeated, goes on from its checkpoint.

    Args:
        classifier: a spec, or a network from (B, C, H, W) to logits (B, K). It is copied, so it stays as it is.
        data: a spec, (images, labels), a loader of such batches, or a dataset; images in [0, 1] or uint8.
        defenses: specs or defenses, combined from left to right; without any, plain cross-entropy.
        out: the file to write, FILE.safetensors.
        val: validation images like `data`; by default a part of `data` is held out.
        settings: settings of `granu train` by name, such as {"epochs": 20, "lr": 0.01}.
        mean, std, classes: as for `granu.attack`, for a network that is given as nn.Module.
        fresh: delete the result and checkpoint of an earlier training first.
        progress: called with (steps done, steps in all, what is going on).

    Raises GranuError, with the sentence that the command line would print.
    """
    catalog = load_catalog()
    images = _images(data)
    sample = None if isinstance(images, str) else images.read(0)[0]
    model = copy.deepcopy(classifier) if isinstance(classifier, ImageClassifier) else classifier
    given = {"model": model} if not isinstance(classifier, str) else classifier
    (resolved,) = resolve_classifiers(catalog, given, sample, Preparation(mean, std, classes))
    named = [defenses] if isinstance(defenses, str | Defense) else list(defenses)
    request = TrainRequest(
        classifier=resolved,
        data=images if isinstance(images, str) else resolve_images(images),
        out=Path(out),
        defenses=tuple(_defense(catalog, one) for one in named),
        val=None if val is None else _resolved_images(val),
        settings=check_settings(settings or {}),
        where="settings",
    )
    context = BuildContext(catalog)
    network = copy.deepcopy(_network(resolved))
    plan = make_train_plan(catalog, context, request)
    result = run_training(plan, context, SilentListener(progress), "granu.train(...)", fresh)
    needed = None if read_trained(result.file).architecture else network
    return TrainResult(load_trained(result.file, context, network=needed), result.file, result.about)


@dataclass(frozen=True)
class SilentListener:
    """A listener that passes progress on and prints nothing; lines are in the log file."""

    report: Progress | None

    def progress(self, done: int, total: int, what: str) -> None:
        if self.report is not None:
            self.report(done, total, what)

    def line(self, text: str) -> None:
        """Say nothing."""


def _images(given: Any) -> str | Dataset:
    return given if isinstance(given, str) else given_dataset(given)


def _resolved_images(given: Any) -> str | Resolved:
    images = _images(given)
    return images if isinstance(images, str) else resolve_images(images)


def _defense(catalog: Catalog, given: str | Defense) -> str | Resolved:
    if isinstance(given, str):
        return given
    name = type(given).__name__.lower()
    return resolve_thing(DefenseOffer(name=name, summary="given from Python", make=Give(given)))


def _network(resolved: Resolved) -> nn.Module | None:
    """The network of a classifier that was given from Python, before it is trained."""
    thing = getattr(resolved.offer.make, "thing", None)
    return thing.network if isinstance(thing, ImageClassifier) else None
