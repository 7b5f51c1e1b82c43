"""Hook specifications: one function per kind of offer. A plugin implements those it needs with `@granu.hookimpl`."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from granu.plugins.offers import (
    ClassifierOffer,
    DatasetOffer,
    DefenseOffer,
    GeneratorOffer,
    PerturbationOffer,
    Suite,
    Weights,
)

hookspec = pluggy.HookspecMarker("granu")
hookimpl = pluggy.HookimplMarker("granu")


@hookspec
def granu_generators() -> Sequence[GeneratorOffer]:  # type: ignore[empty-body]
    """Return generators: they draw images with known labels, and their activations can be edited at named sites."""


@hookspec
def granu_perturbations() -> Sequence[PerturbationOffer]:  # type: ignore[empty-body]
    """Return families of changes, each change with a size."""


@hookspec
def granu_classifiers() -> Sequence[ClassifierOffer]:  # type: ignore[empty-body]
    """Return classifiers, which map images in [0, 1] to logits."""


@hookspec
def granu_defenses() -> Sequence[DefenseOffer]:  # type: ignore[empty-body]
    """Return defenses: training methods that make a classifier more robust."""


@hookspec
def granu_datasets() -> Sequence[DatasetOffer]:  # type: ignore[empty-body]
    """Return datasets of labelled images."""


@hookspec
def granu_weights() -> Sequence[Weights]:  # type: ignore[empty-body]
    """Return weights files that the plugin ships; `weights=` options of other plugins may name them."""


@hookspec
def granu_suites() -> Sequence[Suite]:  # type: ignore[empty-body]
    """Return suites: named lists of perturbations that are measured together."""


HOOKS: dict[str, str] = {
    "granu_generators": "generator",
    "granu_perturbations": "perturbation",
    "granu_classifiers": "classifier",
    "granu_defenses": "defense",
    "granu_datasets": "dataset",
    "granu_weights": "weights",
    "granu_suites": "suite",
}
