"""Opening of what options of `gat` name: the generator with its attack, and the judge."""

from __future__ import annotations

from granu import BuildContext, Judge, TrainingAttack, open_judge, open_perturbations
from granu_gat import NO_JUDGE, GATOptions
from granu_gat.planning import DEFAULTS, attack_spec


def open_attack(options: GATOptions, context: BuildContext) -> TrainingAttack:
    """The attack on the sites of the generator."""
    spec, encode = attack_spec(options.generator, context), options.images == "encoded"
    (perturbation,) = open_perturbations(spec, context, DEFAULTS, encode=encode)
    return TrainingAttack(
        perturbation,
        random_start=options.start == "random",
        step_size=options.step,
        freeze=options.freeze,
    )


def named_judge(options: GATOptions, context: BuildContext) -> Judge | None:
    """The judge, if one is named."""
    return None if options.judge == NO_JUDGE else open_judge(options.judge, context)
