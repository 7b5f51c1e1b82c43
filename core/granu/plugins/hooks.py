"""The hook specs: one function per kind of offer. A plugin implements those it needs with `@granu.hookimpl`."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from granu.plugins.offers import (
    ClassifierOffer,
    DatasetOffer,
    DefenseOffer,
    GeneratorOffer,
    PerturbationOffer,
    Weights,
)

hookspec = pluggy.HookspecMarker("granu")
hookimpl = pluggy.HookimplMarker("granu")


@hookspec
def granu_generators() -> Sequence[GeneratorOffer]:  # type: ignore[empty-body]
    """Generators that draw images with known labels and let their inside be edited at named sites."""


@hookspec
def granu_perturbations() -> Sequence[PerturbationOffer]:  # type: ignore[empty-body]
    """Families of changes with a size."""


@hookspec
def granu_classifiers() -> Sequence[ClassifierOffer]:  # type: ignore[empty-body]
    """Classifiers: images in [0, 1] to logits."""


@hookspec
def granu_defenses() -> Sequence[DefenseOffer]:  # type: ignore[empty-body]
    """Trainings that give a classifier back that holds better."""


@hookspec
def granu_datasets() -> Sequence[DatasetOffer]:  # type: ignore[empty-body]
    """Places where labelled images come from."""


@hookspec
def granu_weights() -> Sequence[Weights]:  # type: ignore[empty-body]
    """Weights files that come with the plugin, to be named by other plugins' `weights=` options."""


HOOKS: dict[str, str] = {
    "granu_generators": "generator",
    "granu_perturbations": "perturbation",
    "granu_classifiers": "classifier",
    "granu_defenses": "defense",
    "granu_datasets": "dataset",
    "granu_weights": "weights",
}
