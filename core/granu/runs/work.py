"""Units of work: some images of one classifier under one perturbation, computed by a pure function.

An item depends on the plan alone, so it may be computed in any process, in any order, and more than once.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from granu.errors import GranuError
from granu.images.ops import distances, encode_png
from granu.runs.build import Builder
from granu.runs.gallery import changed_name, clean_name
from granu.runs.judge import Judged, classify, judge, judge_levels, vote
from granu.runs.plan import EvalPlan, PlannedPerturbation
from granu.runs.sources import Unreadable, match_classes
from granu.runs.trials import CLASSIFIER, CLEAN_WRONG, FAILED, FOUND, IMAGES, NOT_FOUND, UNREADABLE, Trial
from granu.streams import Streams
from granu.types import Batch, Classifier, Criterion, Perturbation, Proposal


@dataclass(frozen=True)
class WorkItem:
    """Images at `positions` of a perturbation's source, for one classifier, as one batch."""

    perturbation: str  # its key in the plan
    classifier: str  # its name in the plan
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Failure:
    """The reason why an item gave no trials. Where the person can mend it there is no traceback."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Outcome:
    """All that came of an item; plain data, so that it can cross processes."""

    item: WorkItem
    trials: tuple[Trial, ...] = ()
    images: Mapping[str, bytes] = field(default_factory=dict)  # PNG files by name
    sites: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # site -> samples, neurons, clamped
    weights: Mapping[str, str] = field(default_factory=dict)  # that the perturbation loaded: name -> sha256
    failure: Failure | None = None


class Workbench:
    """Computes the items of a plan; classifiers, generators and perturbations are built once and reused."""

    def __init__(self, plan: EvalPlan, builder: Builder) -> None:
        self.plan, self.builder = plan, builder

    def run(self, item: WorkItem) -> Outcome:
        """Compute an item. Whatever a plugin raises becomes its failure; MemoryError is left to the executor."""
        try:
            return self._run(item)
        except MemoryError:
            raise
        except GranuError as problem:
            return Outcome(item, failure=Failure(str(problem)))
        except Exception as problem:
            if is_out_of_memory(problem):
                raise MemoryError(first_line(problem)) from problem
            details = "".join(traceback.format_exception(problem))
            return Outcome(item, failure=Failure(f"{type(problem).__name__}: {first_line(problem)}", details))

    def _run(self, item: WorkItem) -> Outcome:
        planned = self.plan.perturbation(item.perturbation)
        measurement = self._measurement(planned, item.classifier)
        trials: list[Trial] = []
        images: dict[str, bytes] = {}
        source = self.builder.source(planned.source)
        for batch in source.batches(item.positions):
            trials += measurement.trials(batch, images)
        sites = self.builder.statistics(planned).summary() if planned.sites else {}
        return Outcome(item, tuple(trials), images, sites, self.builder.weights(planned.resolved))

    def _measurement(self, planned: PlannedPerturbation, classifier: str) -> Measurement:
        resolved, source = self.plan.classifier(classifier), self.builder.source(planned.source)
        tested = self.builder.classifier(resolved)
        kept = range(min(self.plan.request.keep, len(source)))
        return Measurement(
            planned=planned,
            perturbation=self.builder.perturbation(planned),
            name=classifier,
            classifier=tested,
            judges={str(judge.spec): self.builder.classifier(judge) for judge in planned.judges_of(resolved)},
            classes=source.classes,
            numbers=match_classes(source, tested, planned.source.key, classifier),
            kept=frozenset(source.image_id(position) for position in kept),
            seed=self.plan.request.seed,
        )


@dataclass(frozen=True)
class Measurement:
    """One classifier under one perturbation, ready to measure batches."""

    planned: PlannedPerturbation
    perturbation: Perturbation
    name: str
    classifier: Classifier
    judges: Mapping[str, Classifier]
    classes: Sequence[str]  # of the source, empty where it has none
    numbers: Tensor | None  # (K,) class number of the source -> of the classifier
    kept: frozenset[str]  # images whose PNGs are kept
    seed: int

    def trials(self, batch: Batch | Unreadable, images: dict[str, bytes]) -> list[Trial]:
        """A trial for each image; PNGs of those that are kept are added to `images`."""
        if isinstance(batch, Unreadable):
            return [Trial(batch.image, self.planned.key, self.name, UNREADABLE, note=batch.reason)]
        clean = classify(self.classifier, batch.images, self.name)
        predicted = clean.predicted
        labels = predicted if self.numbers is None else self.numbers.to(batch.labels.device)[batch.labels]
        batch = Batch(batch.images, labels, batch.ids, batch.latent, batch.hashes)
        right, clean_margin = predicted == labels, clean.margin(labels)
        trials = [
            Trial(
                batch.ids[i], self.planned.key, self.name, CLEAN_WRONG, image_hash=_hash(batch, i),
                label=int(labels[i]), clean_margin=float(clean_margin[i]), predicted=int(predicted[i]),
            )
            for i in (~right).nonzero().squeeze(1).tolist()
        ]  # fmt: skip
        index = right.nonzero().squeeze(1)
        if len(index):
            trials += self._perturbed(batch.select(index), clean_margin[index], images)
        return trials

    def _perturbed(self, batch: Batch, clean_margin: Tensor, images: dict[str, bytes]) -> list[Trial]:
        noise = Streams(self.seed, batch.ids, f"perturb/{self.planned.scope}", str(batch.images.device))
        proposal = self.perturbation.perturb(self.classifier, batch, Criterion(batch.labels), noise)
        judged, size, levels = self._judged(batch, proposal)
        predicted, margin = judged.verdict.predicted, judged.verdict.margin(batch.labels)
        control = self._control(batch, proposal)
        seen = self._seen(batch, judged, images)
        trials = []
        for i, image in enumerate(batch.ids):
            note = NOT_FINITE if judged.unusable[i] else proposal.notes[i]
            found = bool(predicted[i] != batch.labels[i]) and not judged.unusable[i]
            trials.append(
                Trial(
                    image, self.planned.key, self.name,
                    outcome=FOUND if found else FAILED if note else NOT_FOUND,
                    image_hash=_hash(batch, i),
                    label=int(batch.labels[i]),
                    clean_margin=float(clean_margin[i]),
                    predicted=int(predicted[i]),
                    margin=float(margin[i]),
                    unit=self.perturbation.unit,
                    size=float(size[i]) if found else None,
                    tried=float(proposal.tried[i]),
                    control=bool(control[i]) if control is not None and found else None,
                    forward=int(proposal.forward[i]), backward=int(proposal.backward[i]),
                    extra={key: float(of[i]) for key, of in (proposal.extra or {}).items() if of[i].isfinite()},
                    levels={f"{level:g}": int(of[i]) for level, of in levels.items()},
                    note=note or (UNCONDITIONAL if self.numbers is None else None),
                    **seen[i],
                )
            )  # fmt: skip
        return trials

    def _judged(self, batch: Batch, proposal: Proposal) -> tuple[Judged, Tensor, Mapping[float, Tensor]]:
        """The judged evidence, its size (B,), and the class predicted at each fixed size (B,), if there are any."""
        if not proposal.levels:
            return judge(proposal.evidence, self.classifier, batch.images, self.name), proposal.size, {}
        made = judge_levels(proposal.levels, self.classifier, batch.images, batch.labels, self.name)
        return made.judged, made.size, made.predicted

    def _control(self, batch: Batch, proposal: Proposal) -> Tensor | None:
        """(B,) whether the random change of the same size fools."""
        if proposal.control is None:
            return None
        control = judge(proposal.control, self.classifier, batch.images, self.name)
        return (control.verdict.predicted != batch.labels) & ~control.unusable

    def _seen(self, batch: Batch, judged: Judged, images: dict[str, bytes]) -> list[dict[str, Any]]:
        """The entries of each image's trial that compare changed with clean images; keeps PNGs."""
        changed = judged.images
        if changed is None:
            return [{"evidence": CLASSIFIER} for _ in batch.ids]
        distance = distances(batch.images, changed)
        votes = vote(self.judges, changed, self.classifier, self.classes)
        for i, image in enumerate(batch.ids):
            if image in self.kept:
                images[clean_name(image)] = encode_png(batch.images[i])
                images[changed_name(image, self.name, self.planned.key)] = encode_png(changed[i])
        return [
            {
                "evidence": IMAGES,
                **{name: float(distance[name][i]) for name in ("l2", "linf", "ssim")},
                **{name: int(distance[name][i]) for name in ("pixels", "features")},
                "height": changed.shape[-2],
                "width": changed.shape[-1],
                "votes": {name: int(votes_[i]) for name, votes_ in votes.items()},
            }
            for i in range(len(batch.ids))
        ]


NOT_FINITE = "the changed image, or the classifier's answer to it, is not finite"
UNCONDITIONAL = "the label is the classifier's own verdict on the clean image"


def is_out_of_memory(problem: BaseException) -> bool:
    """True for an exception that says that memory ran out, on the CPU or on a GPU."""
    text = str(problem)
    return isinstance(problem, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def first_line(problem: BaseException) -> str:
    """The first line of an exception's text; its type where it has none."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]


def _hash(batch: Batch, i: int) -> str | None:
    return None if batch.hashes is None else batch.hashes[i]
