"""The one loop: a plan goes in, trials come out, a batch at a time."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from granu.runs import gallery
from granu.runs.build import Builder
from granu.errors import GranuError
from granu.runs.judge import ask, ask_judges
from granu.images.ops import quantize, distances, write_png
from granu.runs.plan import EvalPlan, PlannedPerturbation
from granu.runs.folder import Run
from granu.runs.sources import Unreadable, match_classes, names_of
from granu.streams import Streams
from granu.runs.trials import CLEAN_WRONG, FAILED, FOUND, NOT_FOUND, UNREADABLE, Trial
from granu.types import Batch, Classifier, Criterion, Perturbation, Proposal
from granu.plugins.context import BuildContext

Progress = Callable[[int, int, str], None]  # images done, images in all, what is at work


@dataclass(frozen=True)
class Failure:
    """A cell of the matrix whose perturbation raised; the other cells went on."""

    classifier: str
    perturbation: str
    plugin: str
    reason: str
    traceback: str


@dataclass(frozen=True)
class Cell:
    """One classifier under one perturbation, built and ready."""

    planned: PlannedPerturbation
    perturbation: Perturbation
    name: str
    classifier: Classifier
    judges: dict[str, Classifier]
    classes: Sequence[str]  # of the source, empty where it has none
    numbers: Tensor | None  # class number of the source -> of the classifier
    run: Run
    kept: frozenset[str]  # images whose PNGs are written
    seed: int


def evaluate(plan: EvalPlan, context: BuildContext, run: Run, progress: Progress) -> list[Failure]:
    """Do what is missing in the run. A perturbation that raises fails its cell alone; a GranuError ends the run."""
    builder = Builder(plan, context)
    classifiers = {str(c.spec): builder.classifier(c) for c in plan.classifiers}
    judges = {str(j.spec): builder.classifier(j) for j in plan.judges}
    _, first = builder.source(plan.perturbations[0])
    run.amend(classes=list(names_of(next(iter(classifiers.values())), first.classes)))
    total = len(plan.perturbations) * len(classifiers) * plan.request.count
    done, failures = 0, []
    for planned in plan.perturbations:
        source_name, source = builder.source(planned)
        count = min(plan.request.count, len(source))
        ids = [source.image_id(position) for position in range(count)]
        kept = frozenset(ids[: plan.request.keep])
        for name, classifier in classifiers.items():
            missing = [p for p, id_ in enumerate(ids) if (name, planned.key, id_) not in run.done]
            done += plan.request.count - len(missing)
            progress(done, total, f"{planned.key} on {name}")
            try:
                perturbation = builder.perturbation(planned)
                run.note_weights(context.used_weights)
                numbers = match_classes(source.classes, names_of(classifier, source.classes), source_name, name)
                cell = Cell(
                    planned, perturbation, name, classifier, judges, source.classes, numbers, run, kept,
                    plan.request.seed,
                )  # fmt: skip
                for positions in _aligned(missing, plan.request.batch):
                    for batch in source.batches(positions):
                        run.append(_trials(cell, batch))
                    done += len(positions)
                    progress(done, total, f"{planned.key} on {name}")
            except GranuError:
                raise
            except Exception as problem:
                failures.append(_failure(name, planned, problem))
        _record_statistics(run, builder)
    return failures


def _record_statistics(run: Run, builder: Builder) -> None:
    """What sizes were counted in; sites that an earlier command measured stay in the record."""
    known = run.record.get("statistics", {})
    now = builder.statistics_in_use()
    run.amend(statistics={**known, **{name: {**known.get(name, {}), **sites} for name, sites in now.items()}})


def _aligned(missing: Sequence[int], size: int) -> Iterator[list[int]]:
    """The missing positions by the batches that an unbroken run would make of them."""
    batches: dict[int, list[int]] = {}
    for position in missing:
        batches.setdefault(position // size, []).append(position)
    yield from batches.values()


def _trials(cell: Cell, batch: Batch | Unreadable) -> list[Trial]:
    if isinstance(batch, Unreadable):
        return [Trial(batch.image, cell.planned.key, cell.name, UNREADABLE, note=batch.reason)]
    clean = ask(cell.classifier, batch.images, cell.name)
    predicted = clean.predicted
    labels = predicted if cell.numbers is None else cell.numbers.to(batch.labels.device)[batch.labels]
    right, clean_margin = predicted == labels, clean.margin(labels)
    trials = [
        Trial(
            batch.ids[i], cell.planned.key, cell.name, CLEAN_WRONG,
            label=int(labels[i]), clean_margin=float(clean_margin[i]), predicted=int(predicted[i]),
        )
        for i in (~right).nonzero().squeeze(1).tolist()
    ]  # fmt: skip
    index = right.nonzero().squeeze(1)
    if len(index):
        latent = batch.latent.select(index) if batch.latent is not None else None
        ids = tuple(batch.ids[i] for i in index.tolist())
        trials += _judged(cell, Batch(batch.images[index], labels[index], ids, latent), clean_margin[index])
    return trials


def _judged(cell: Cell, batch: Batch, clean_margin: Tensor) -> list[Trial]:
    noise = Streams(cell.seed, batch.ids, f"perturb/{cell.planned.scope}", str(batch.images.device))
    proposal = cell.perturbation.perturb(cell.classifier, batch, Criterion(batch.labels), noise)
    changed = quantize(proposal.images.detach().float())
    if changed.shape != batch.images.shape or not changed.isfinite().all():
        raise ValueError(f"it returned images of shape {tuple(changed.shape)} or images that are not finite")
    verdict = ask(cell.classifier, changed, cell.name)
    predicted, margin = verdict.predicted, verdict.margin(batch.labels)
    votes = ask_judges(cell.judges, changed, cell.classifier, cell.classes)
    seen = distances(batch.images, changed)
    control = _control(cell, batch, proposal)
    _keep_images(cell, batch, changed)
    unconditional = "the label is the classifier's own verdict on the clean image"
    trials = []
    for i, image in enumerate(batch.ids):
        note = proposal.notes[i]
        found = bool(predicted[i] != batch.labels[i])
        trials.append(
            Trial(
                image, cell.planned.key, cell.name,
                outcome=FOUND if found else FAILED if note else NOT_FOUND,
                label=int(batch.labels[i]),
                clean_margin=float(clean_margin[i]),
                predicted=int(predicted[i]),
                margin=float(margin[i]),
                unit=cell.perturbation.unit,
                size=float(proposal.size[i]) if found else None,
                tried=float(proposal.tried[i]),
                l2=float(seen["l2"][i]), linf=float(seen["linf"][i]), ssim=float(seen["ssim"][i]),
                pixels=int(seen["pixels"][i]), features=int(seen["features"][i]),
                height=changed.shape[-2], width=changed.shape[-1],
                votes={name: int(vote[i]) for name, vote in votes.items()},
                control=bool(control[i]) if control is not None and found else None,
                forward=int(proposal.forward[i]), backward=int(proposal.backward[i]),
                extra={key: float(of[i]) for key, of in (proposal.extra or {}).items() if of[i].isfinite()},
                note=note or (unconditional if cell.numbers is None else None),
            )
        )  # fmt: skip
    return trials


def _control(cell: Cell, batch: Batch, proposal: Proposal) -> Tensor | None:
    """(B,) whether the random change of the same size fools."""
    if proposal.control is None:
        return None
    return ask(cell.classifier, quantize(proposal.control.float()), cell.name).predicted != batch.labels


def _keep_images(cell: Cell, batch: Batch, changed: Tensor) -> None:
    """Write the PNGs before their trials, so that a trial on disk means that its images are there."""
    for i, image in enumerate(batch.ids):
        if image not in cell.kept:
            continue
        folder = cell.run.images
        clean = gallery.clean_file(folder, image)
        with cell.run.writing():
            clean.parent.mkdir(parents=True, exist_ok=True)
            write_png(batch.images[i], clean)
            write_png(changed[i], gallery.image_file(folder, image, cell.name, cell.planned.key))


def _failure(classifier: str, planned: PlannedPerturbation, problem: Exception) -> Failure:
    reason = f"{type(problem).__name__}: {problem}".splitlines()[0]
    message = "".join(traceback.format_exception(problem))
    return Failure(classifier, planned.key, planned.resolved.entry.plugin, reason, message)
