"""Plugin module of granu_adversarial: adversarial training with any perturbation, and the controls beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu import DefenseOffer, OptionError, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, Defense, PlannedSpace

DEFAULTS: Mapping[str, str] = {"steps": "10"}  # options of a perturbation that a spec need not give
WHAT = "perturbations to train against, as for `granu eval --perturb`, with budget= and steps=; several joined by |"
COMBINE = "what several perturbations do: all of them on every image, the worst one for it, or one at random"
CLEAN = "share of the loss on unchanged images; by default 0, and 0.5 where a generator draws the changed ones"
WARMUP = "share of the training over which the budget grows to its full size"


@dataclass(frozen=True)
class AdversarialOptions:
    """Options of `adversarial:`; all others are those of the perturbation."""

    perturbation: str = option("", WHAT)
    loss: str = option("madry", "cross-entropy of changed images, or the loss of TRADES", choices=("madry", "trades"))
    beta: float = option(6.0, "weight of the divergence in loss=trades", low=0)
    combine: str = option("mean", COMBINE, choices=("mean", "worst", "random"))
    clean: float | None = option(None, CLEAN, low=0, high=1)
    start: str = option("random", "where the attack starts", choices=("random", "zero"))
    warmup: float = option(0.3, WARMUP, low=0, high=1)


@dataclass(frozen=True)
class RandomOptions:
    """Options of `random:`; all others are those of the perturbation."""

    perturbation: str = option("", WHAT)
    combine: str = option("mean", COMBINE, choices=("mean", "worst", "random"))
    clean: float | None = option(None, CLEAN, low=0, high=1)
    warmup: float = option(0.3, WARMUP, low=0, high=1)


@dataclass(frozen=True)
class ExtraDataOptions:
    """Options of `extra-data:`; all others are those of the dataset or generator."""

    source: str = option("", "dataset or generator of the further images")
    share: float = option(0.5, "share of the loss on them", low=0, high=1)


def check_adversarial(options: AdversarialOptions, context: BuildContext) -> None:
    """Plan the perturbations. OptionError for options that contradict each other."""
    for planned in check_perturbations("adversarial", options, context):
        if planned.search.name != "pgd":
            raise OptionError(
                f"`{planned.key}`: training attacks by search=pgd; leave search= out, or train on random changes "
                "with --defense random:..."
            )
    if options.loss == "trades" and options.start == "zero":
        raise OptionError("loss=trades cannot start at zero, where the divergence has no gradient; leave out start=")


def check_perturbations(
    name: str, options: AdversarialOptions | RandomOptions, context: BuildContext
) -> Sequence[PlannedSpace]:
    """Plan the perturbations. OptionError if there are none, or if they change different images."""
    from granu import plan_spaces

    if not options.perturbation:
        raise OptionError(f"say what to train against, for example `{name}:pixel:linf,budget=8/255`")
    planned = plan_spaces(options.perturbation, context, DEFAULTS)
    sources = {None if one.generator is None else one.generator.key for one in planned}
    if len(sources) > 1:
        raise OptionError(
            f"`{options.perturbation}` changes images of different sources "
            f"({', '.join(sorted(source or 'the training data' for source in sources))}); "
            f"give each source a defense of its own, --defense {name}:... twice"
        )
    return planned


def check_random(options: RandomOptions, context: BuildContext) -> None:
    """Plan the perturbations."""
    check_perturbations("random", options, context)


def check_extra_data(options: ExtraDataOptions, context: BuildContext) -> None:
    """Require a source."""
    if not options.source:
        raise OptionError("say which images to add, for example `extra-data:folder:more`")


def make_standard(options: object, context: BuildContext) -> Defense:
    from granu_adversarial.controls import Standard

    return Standard()


def make_adversarial(options: AdversarialOptions, context: BuildContext) -> Defense:
    from granu_adversarial.adversarial import Adversarial, open_attacks

    return Adversarial(open_attacks(options.perturbation, context, options.start == "random"), options)


def make_random(options: RandomOptions, context: BuildContext) -> Defense:
    from granu_adversarial.adversarial import RandomChanges, open_attacks

    same = AdversarialOptions(combine=options.combine, clean=options.clean, warmup=options.warmup)
    return RandomChanges(open_attacks(options.perturbation, context), same)


def make_extra_data(options: ExtraDataOptions, context: BuildContext) -> Defense:
    from granu import open_images
    from granu_adversarial.controls import ExtraData

    return ExtraData(open_images(options.source, context), options.share)


@hookimpl
def granu_defenses() -> Sequence[DefenseOffer]:
    return [
        DefenseOffer(
            name="standard",
            summary="plain training: cross-entropy of the images (the control of equal steps)",
            make=make_standard,
        ),
        DefenseOffer(
            name="adversarial",
            summary="adversarial training with any perturbation, also with the loss of TRADES",
            options=AdversarialOptions,
            target="perturbation",
            nested=True,
            attacks=True,
            make=make_adversarial,
            check=check_adversarial,
            cite=(
                "Madry et al.: Towards deep learning models resistant to adversarial attacks. ICLR 2018, "
                "arXiv:1706.06083",
                "Zhang et al.: Theoretically principled trade-off between robustness and accuracy. ICML 2019, "
                "arXiv:1901.08573",
                "Tramèr, Boneh: Adversarial training and robustness for multiple perturbations. NeurIPS 2019, "
                "arXiv:1904.13000",
            ),
        ),
        DefenseOffer(
            name="random",
            summary="training on random changes of equal size (a control of adversarial training)",
            options=RandomOptions,
            target="perturbation",
            nested=True,
            make=make_random,
            check=check_random,
        ),
        DefenseOffer(
            name="extra-data",
            summary="training on further images of a dataset or generator (a control)",
            options=ExtraDataOptions,
            target="source",
            nested=True,
            make=make_extra_data,
            check=check_extra_data,
        ),
    ]
