"""Plugin module of granu_gat: generative adversarial training, against an attack on a generator's styles and noises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu import DefenseOffer, OptionError, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, Defense

NO_JUDGE = "none"


@dataclass(frozen=True)
class GATOptions:
    """Options of `gat:`; all others are those of the generator, its sites and the attack."""

    generator: str = option(
        "",
        "generator, with the sites to attack if they are not its styles and noise maps; budget=, steps=, norm= and "
        "bands= as for `granu eval --perturb`",
    )
    images: str = option(
        "generated", "images to change: drawn ones, or the training images as encoded", choices=("generated", "encoded")
    )
    attack: str = option(
        "worst",
        "change by gradient, at random of the same size, or none (controls)",
        choices=("worst", "random", "none"),
    )
    objective: str = option(
        "least-likely", "class that the attack descends to, or ascent on the true one", choices=("least-likely", "true")
    )
    start: str = option("zero", "where the attack starts", choices=("zero", "random"))
    step: float | None = option(None, "size of an attack step; by default 2.5 budgets divided by the steps", low=1e-12)
    freeze: bool = option(True, "an image that is fooled is not changed further")
    clean: tuple[float, ...] = option(
        (0.5,), "share of the loss on the training images; two numbers, such as 0.9+0.5, at the beginning and the end"
    )
    warmup: float = option(0.3, "share of the training over which the budget grows to its full size", low=0, high=1)
    normalisation: str = option(
        "shared",
        "normalisation layers of training images and changed ones: shared, or own ones (route aux) for the changed",
        choices=("shared", "own"),
    )
    judge: str = option(NO_JUDGE, "independent classifier that says which class a changed image shows; none for nobody")
    changed: str = option(
        "auto",
        "what becomes of images in which the judge sees another class; auto: leave-out, without a judge keep",
        choices=("auto", "keep", "leave-out", "relabel"),
    )
    resize: bool = option(False, "accept a generator whose images have another size than the classifier's")


def check(options: GATOptions, context: BuildContext) -> None:
    """Plan the attack. OptionError for options that contradict each other."""
    from granu_gat.planning import plan

    planned = plan(options.generator, context)
    generator = planned.generator
    if options.images == "encoded" and not (generator and generator.encodes):
        raise OptionError(
            f"images=encoded: `{generator.key if generator else planned.key}` does not encode images; take a generator "
            "that does, or images=generated"
        )
    if options.images == "generated" and planned.site_options.residual:
        raise OptionError("residual=yes is for encoded images; add images=encoded, or leave it out")
    budget = planned.search.budget
    if options.step is not None and budget is not None and options.step > budget:
        raise OptionError(f"gat: step={options.step:g} is larger than budget={budget:g}, so every step would be cut")
    if not 1 <= len(options.clean) <= 2 or not all(0 <= share <= 1 for share in options.clean):
        given = "+".join(f"{share:g}" for share in options.clean)
        raise OptionError(f"gat: clean={given} is not one share from 0 to 1, or two such as 0.9+0.5")
    if options.judge != NO_JUDGE:
        context.check("classifier", options.judge)
    elif options.changed in ("leave-out", "relabel"):
        raise OptionError(f"gat: changed={options.changed} needs a classifier that says so; add judge=")


def make(options: GATOptions, context: BuildContext) -> Defense:
    from granu_gat.defense import GAT
    from granu_gat.opening import named_judge, open_attack

    return GAT(options, open_attack(options, context), named_judge(options, context))


@hookimpl
def granu_defenses() -> Sequence[DefenseOffer]:
    return [
        DefenseOffer(
            name="gat",
            summary="training on images whose styles and noise maps in a generator an adversary changes",
            options=GATOptions,
            target="generator",
            nested=True,
            make=make,
            check=check,
            cite=(
                "Poursaeed, Jiang, Yang, Belongie and Lim: Robustness and generalization via generative adversarial "
                "training. ICCV 2021, arXiv:2109.02765",
                "Lin, Lau, Levine, Chellappa and Feizi: Dual manifold adversarial robustness. NeurIPS 2020, "
                "arXiv:2009.02470",
            ),
        )
    ]
