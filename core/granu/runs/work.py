"""Units of work: some images of one classifier under one perturbation, computed by a pure function.

An item depends on the plan alone, so it may be computed in any process, in any order, and more than once.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from granu.errors import GranuError
from granu.runs.build import Builder
from granu.runs.encoded import EncodedMeasurement
from granu.runs.judge import as_guide
from granu.runs.kept import first_right
from granu.runs.measurement import Measurement
from granu.runs.plan import EvalPlan, PlannedPerturbation
from granu.runs.problems import first_line, is_out_of_memory
from granu.runs.sources import match_classes
from granu.runs.trials import Trial


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
        self._kept_ids: dict[tuple[str, str], frozenset[str]] = {}  # by source and classifier

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

    def _measurement(self, planned: PlannedPerturbation, classifier: str) -> Measurement | EncodedMeasurement:
        resolved, source = self.plan.classifier(classifier), self.builder.source(planned.source)
        tested = self.builder.classifier(resolved)
        numbers = match_classes(source, tested, planned.source.key, classifier)
        plain = Measurement(
            planned=planned,
            perturbation=self.builder.perturbation(planned),
            name=classifier,
            classifier=tested,
            judges={str(judge.spec): self.builder.classifier(judge) for judge in planned.judges_of(resolved)},
            classes=source.classes,
            numbers=numbers,
            kept=self._kept(planned, classifier, numbers),
            seed=self.plan.request.seed,
            guides={
                str(one.spec): as_guide(self.builder.classifier(one), tested, source.classes, str(one.spec))
                for one in planned.guides_of(resolved)
            },
        )
        return EncodedMeasurement(plain, self.builder.encoder(planned)) if planned.is_encoded else plain

    def _kept(self, planned: PlannedPerturbation, classifier: str, numbers: Tensor | None) -> frozenset[str]:
        """Images of the source whose PNGs are kept for a classifier."""
        place = (planned.source.key, classifier)
        if place not in self._kept_ids:
            request, source = self.plan.request, self.builder.source(planned.source)
            tested = self.builder.classifier(self.plan.classifier(classifier))
            self._kept_ids[place] = first_right(source, tested, numbers, request.keep, request.count, request.batch)
        return self._kept_ids[place]
