"""Measurements of a hardening: runs of `granu eval`, one for each phase, and clean accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from granu.errors import GranuError
from granu.hardening.parts import VERDICT, Images, phase_seed
from granu.hardening.plan import Grain, HardenPlan
from granu.plugins.built import as_drawing
from granu.plugins.catalog import Resolved
from granu.plugins.context import BuildContext
from granu.runs.devices import choose_device
from granu.runs.evaluate import Progress, measure
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.runs.run import Run
from granu.runs.sources import DatasetSource, GeneratorSource, Unreadable, match_classes
from granu.runs.writer import open_run
from granu.types import Classifier

FOLDERS = ("choice", "verdict", "report")  # the runs, by phase
AT_ONCE = 250  # images whose clean accuracy is measured together


def run_folder(plan: HardenPlan, phase: int) -> Path:
    """The folder of a phase's run."""
    return plan.out / FOLDERS[phase]


def measured(
    plan: HardenPlan,
    images: Images,
    context: BuildContext,
    phase: int,
    classifiers: Sequence[Resolved],
    command: str,
    progress: Progress,
    fresh: bool = False,
) -> Run:
    """Measure classifiers under all changes, on the images of a phase; what is measured already is kept.

    GranuError where anything could not be measured.
    """
    seed = phase_seed(plan, phase)
    with open_run(run_folder(plan, phase), seed, "float32", fresh) as writer:
        for grains, data in _by_images(plan, images.measured[phase]):
            request = Request(
                perturbations=tuple(grain.key for grain in grains),
                classifiers=tuple(classifiers),
                judges=plan.judges,
                data=data,
                count=plan.settings.count,
                seed=seed,
                batch=plan.settings.batch,
                keep=plan.settings.keep,
                device=plan.settings.device,
            )
            own = BuildContext(context.catalog, cache=context.cache)
            measure(make_plan(context.catalog, own, request), own, writer, command, progress)
            if writer.record.failures:
                raise GranuError(writer.record.failures[0].reason)
        return writer.run


def _by_images(plan: HardenPlan, data: Resolved) -> list[tuple[list[Grain], str | Resolved | None]]:
    """The changes at sites of generators, which draw their own images, and those of given images."""
    given = data if data.offer.kind == "dataset" else str(data.spec)
    drawn, others = ([grain for grain in plan.grains if grain.draws is draws] for draws in (True, False))
    return [(grains, source) for grains, source in ((drawn, None), (others, given)) if grains]


def clean_accuracy(plan: HardenPlan, images: Images, context: BuildContext, classifier: Resolved) -> float:
    """The share of unchanged images that a classifier classifies correctly, in [0, 1]."""
    device, resolved = choose_device(plan.settings.device), images.measured[VERDICT]
    seed, built = phase_seed(plan, VERDICT), context.make(resolved)
    source = (
        DatasetSource(built, seed, device)
        if resolved.offer.kind == "dataset"
        else GeneratorSource(as_drawing(built, resolved.spec), f"{resolved.spec}/clean", seed, device)
    )
    network = context.make(classifier).to(device).eval()
    numbers = match_classes(source, cast(Classifier, network), str(resolved.spec), str(classifier.spec))
    if numbers is None:
        raise GranuError(f"the images of `{resolved.spec}` have no classes, so accuracy cannot be measured on them")
    count, right, seen = min(plan.settings.clean_images, len(source)), 0, 0
    for start in range(0, count, AT_ONCE):
        for batch in source.batches(range(start, min(start + AT_ONCE, count))):
            if not isinstance(batch, Unreadable):
                with torch.no_grad():
                    predicted = network(batch.images).argmax(dim=1)
                right += int((predicted == numbers.to(device)[batch.labels]).sum())
                seen += len(batch.labels)
    return right / seen if seen else 0.0


def labelled_as(resolved: Resolved, label: str) -> Resolved:
    """A classifier under a label of the report."""
    return replace(resolved, label=label)
