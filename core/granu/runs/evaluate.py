"""Evaluation: from a plan to a run. Items are listed, an executor computes them, the writer consumes the outcomes."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Generator, Iterator, Sequence

from granu.errors import GranuError, RunFolderError
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.build import Builder
from granu.runs.devices import choose_device
from granu.runs.executors import Executor, ProcessExecutor, SerialExecutor
from granu.runs.plan import EvalPlan, PlannedPerturbation, Request
from granu.runs.planning import make_plan
from granu.runs.prepare import Preparation
from granu.runs.provenance import describe_machine
from granu.runs.records import CommandRecord, FailureRecord
from granu.runs.sources import DatasetSource, Source
from granu.runs.work import Failure, Outcome, Workbench, WorkItem
from granu.runs.writer import RunWriter

Progress = Callable[[int, int, str], None]  # images done, images in all, what is being measured


def measure(
    plan: EvalPlan,
    context: BuildContext,
    writer: RunWriter,
    command: str,
    progress: Progress,
    workers: int = 1,
    threads: int = 1,
) -> Builder:
    """Note the command in the run, choose device and executor, and evaluate. Returns what was built in this process."""
    context.device = choose_device(plan.request.device)
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    writer.begin(CommandRecord(command, started, describe_machine(context.catalog, context.device)))
    builder = Builder(plan, context)
    evaluate(plan, builder, make_executor(plan, builder, workers, threads), writer, progress)
    return builder


def evaluate(plan: EvalPlan, builder: Builder, executor: Executor, writer: RunWriter, progress: Progress) -> None:
    """Measure what is missing in the run.

    A classifier or perturbation that fails is recorded as failed for its images, and the others go on. RunFolderError,
    before anything is measured, where the run holds trials of other weights or images. GranuError if nothing can be
    measured at all, for a reason that the person can mend.
    """
    prepared = Preparation(plan, builder)
    writer.merge(prepared.perturbation_records(), prepared.classifier_records())
    _refuse_changed_images(plan, prepared, builder, writer)
    items: list[WorkItem] = []
    total = 0
    for planned in plan.perturbations:
        for resolved in plan.classifiers:
            classifier = str(resolved.spec)
            if (failure := prepared.failure(planned, resolved)) is not None:
                _fail(writer, planned, classifier, plan.request.count, failure)
                continue
            source = builder.source(planned.source)
            ids = _image_ids(source, plan.request.count)
            total += len(ids)
            missing = [p for p, id_ in enumerate(ids) if (classifier, planned.key, id_) not in writer.done]
            items += [WorkItem(planned.key, classifier, batch) for batch in _aligned(missing, plan.request.batch)]
    _consume(plan, executor, items, total, writer, progress)
    _raise_if_nothing_was_measured(writer)


def make_executor(plan: EvalPlan, builder: Builder, workers: int, threads: int) -> Executor:
    """This process for one worker, otherwise as many local processes of `threads` torch threads each."""
    if workers == 1:
        return SerialExecutor(Workbench(plan, builder))
    sources = {p.key: p.source.key for p in plan.perturbations}
    return ProcessExecutor(WorkbenchRecipe(plan.request, sources, builder.context), workers, threads)


class WorkbenchRecipe:
    """Builds a workbench in another process: the request is planned again there, since plans hold functions."""

    def __init__(self, request: Request, sources: dict[str, str], context: BuildContext) -> None:
        self.request, self.sources = request, sources
        self.device, self.cache = context.device, context.cache

    def __call__(self) -> Workbench:
        catalog = load_catalog()
        context = BuildContext(catalog, self.device, self.cache)
        plan = make_plan(catalog, context, self.request, self.sources)
        return Workbench(plan, Builder(plan, context))


def _consume(
    plan: EvalPlan, executor: Executor, items: Sequence[WorkItem], total: int, writer: RunWriter, progress: Progress
) -> None:
    done = total - sum(len(item.positions) for item in items)
    progress(done, total, "")
    with contextlib.closing(_closable(executor.map(items))) as outcomes:
        for outcome in outcomes:
            item = outcome.item
            planned = plan.perturbation(item.perturbation)
            if outcome.failure is not None:
                _fail(writer, planned, item.classifier, len(item.positions), outcome.failure)
            else:
                # first the record, which refuses weights that changed, so that trials of two are not mixed
                writer.describe_perturbation(planned.key, _unit(outcome), outcome.sites, outcome.weights)
                writer.append(outcome.trials, outcome.images)
            done += len(item.positions)
            progress(done, total, f"{item.perturbation} on {item.classifier}")


def _closable(outcomes: Iterator[Outcome]) -> Generator[Outcome]:
    """A generator, so that closing it ends the executor's workers at once."""
    yield from outcomes


def _unit(outcome: Outcome) -> str:
    return next((trial.unit for trial in outcome.trials if trial.unit), "")


def _aligned(missing: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """The missing positions in the batches that an uninterrupted run makes of them."""
    batches: dict[int, list[int]] = {}
    for position in missing:
        batches.setdefault(position // size, []).append(position)
    yield from map(tuple, batches.values())


def _image_ids(source: Source, count: int) -> list[str]:
    return [source.image_id(position) for position in range(min(count, len(source)))]


def _refuse_changed_images(plan: EvalPlan, prepared: Preparation, builder: Builder, writer: RunWriter) -> None:
    """RunFolderError where images of a dataset are not those that the run's trials saw under the same names.

    The trials of every perturbation of the same dataset count, since results of one run are compared image by image.
    """
    for planned in {p.source.key: p.source for p in plan.perturbations}.values():
        source = builder.source(planned) if prepared.opened(planned) else None
        if not isinstance(source, DatasetSource):
            continue
        using = {key for key, record in writer.record.perturbations.items() if record.source.spec == planned.key}
        seen = {t.image: t.image_hash for t in writer.run.trials if t.perturbation in using and t.image_hash}
        ids = _image_ids(source, plan.request.count) if seen else []
        changed = [id_ for position, id_ in enumerate(ids) if id_ in seen and source.image_hash(position) != seen[id_]]
        if changed:
            raise RunFolderError(
                f"{len(changed)} of the images in `{planned.key}` changed since they were measured in {writer.run} "
                f"({', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''}); name another folder with --out, "
                "or start over with --fresh"
            )


def _fail(writer: RunWriter, planned: PlannedPerturbation, classifier: str, images: int, failure: Failure) -> None:
    plugin = planned.resolved.entry.plugin
    writer.fail(FailureRecord(classifier, planned.key, plugin, failure.reason, images, failure.traceback))


def _raise_if_nothing_was_measured(writer: RunWriter) -> None:
    """One sentence in place of a run that holds nothing but failures that the person can mend."""
    failures = writer.record.failures
    if failures and not writer.run.trials and not any(failure.traceback for failure in failures):
        reasons = list(dict.fromkeys(failure.reason for failure in failures))
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise GranuError(reasons[0] + more)
