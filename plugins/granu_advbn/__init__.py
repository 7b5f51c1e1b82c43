"""Plugin module of granu_advbn: changes of the statistics of features, to train and to test with (AdvBN)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu import DefenseOffer, OptionError, PerturbationOffer, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, Defense, SpaceFactory

CITE = (
    "Shu, Wu, Goldblum, Goldstein: Encoding Robustness to Image Style via Adversarial Feature Perturbations. "
    "NeurIPS 2021, arXiv:2009.08965",
)
SCOPE = re.compile(r"batch|sample|group:([1-9][0-9]{0,8})")


@dataclass(frozen=True, kw_only=True)
class PerturbationOptions:
    """Options of the perturbation `advbn`: what may change."""

    layer: str = option("", "module behind which the features' statistics change")
    epsilon: float = option(1.1, "largest change of the multipliers, which lie within 1 +- epsilon", low=0, high=100)
    mean: str = option(
        "multiplicative",
        "the mean is multiplied, as in the paper, or moved by a multiple of the standard deviation",
        choices=("multiplicative", "sigma"),
    )
    min_scale: float | None = option(
        None, "smallest multiplier of the deviation; by default 1 - epsilon, which may be negative", high=1
    )
    relu: str = option(
        "auto",
        "set negative features to zero after a change; auto: where the module's output is never negative",
        choices=("auto", "yes", "no"),
    )
    channels: str = option("auto", "axis of the channels behind that of the images", choices=("auto", "first", "last"))


@dataclass(frozen=True, kw_only=True)
class DefenseOptions(PerturbationOptions):
    """Options of the defense `advbn`: those of the perturbation, and how it is trained against."""

    layer: str = option(
        "", "module behind which the features' statistics change; of several joined by plus, each step draws one"
    )
    step: float = option(0.2, "size of an attack step", low=1e-6, high=100)
    steps: int = option(6, "attack steps, each of which takes one pass and its gradient", low=1, high=1000)
    scope: str = option("batch", "images that share statistics and a change: batch, sample, or group:N for N images")
    init: str = option(
        "ones", "multipliers at which an attack begins: all one, or drawn uniformly", choices=("ones", "uniform")
    )
    dual: bool = option(True, "normalisation layers behind the cut exist twice, and changed features take the second")
    freeze: bool = option(True, "everything up to the cut stays as it is")
    random: str = option(
        "no",
        "control without an attack: multipliers are drawn uniformly, or from the two ends of their range",
        choices=("no", "uniform", "corners"),
    )


def check_defense(options: DefenseOptions, context: BuildContext) -> None:
    """Require a module, and a scope that can be read. OptionError otherwise."""
    _require_layer(options.layer)
    if not all(options.layer.split("+")):
        raise OptionError(f"`advbn:{options.layer}` names an empty module; join modules by single pluses")
    if SCOPE.fullmatch(options.scope) is None:
        raise OptionError(f"advbn: scope={options.scope} is not one of its values: batch, sample, or group:8")


def check_perturbation(options: PerturbationOptions, context: BuildContext) -> None:
    """Require a module, and room to change. OptionError otherwise."""
    _require_layer(options.layer)
    if not options.epsilon:
        raise OptionError("advbn: epsilon=0 leaves nothing to search; choose a larger one")


def _require_layer(layer: str) -> None:
    if not layer:
        raise OptionError("`advbn` needs the module behind which features are changed; write it like advbn:layer1")


def make_defense(options: DefenseOptions, context: BuildContext) -> Defense:
    from granu_advbn.defense import AdvBN

    return AdvBN(options)


def make_perturbation(options: PerturbationOptions, context: BuildContext) -> SpaceFactory:
    from granu_advbn.space import FeatureStatistics

    return FeatureStatistics(options)


@hookimpl
def granu_defenses() -> Sequence[DefenseOffer]:
    return [
        DefenseOffer(
            name="advbn",
            summary="trains on features whose mean and deviation an adversary changes, with dual normalisation",
            options=DefenseOptions,
            target="layer",
            make=make_defense,
            check=check_defense,
            cite=CITE,
        )
    ]


@hookimpl
def granu_perturbations() -> Sequence[PerturbationOffer]:
    return [
        PerturbationOffer(
            name="advbn",
            summary="change of the features' mean and deviation, per channel, behind a module of the classifier",
            options=PerturbationOptions,
            target="layer",
            make=make_perturbation,
            check=check_perturbation,
            cite=CITE,
        )
    ]
