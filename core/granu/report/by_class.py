"""Results by class: found changes and median sizes of each class of which there are enough images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from granu.report import formatting, style
from granu.report.pairing import MeasuredClassifier
from granu.report.rows import Row, observation, without_repeats
from granu.report.statistics import median_size
from granu.report.strips import class_name
from granu.runs.run import Run
from granu.runs.trials import FAILED, FOUND, Trial

ENOUGH = 6  # images of a class, from which on a 95 % interval of a median can be finite on one side at all


@dataclass(frozen=True)
class ClassColumn:
    """A perturbation in the head of the table."""

    name: str
    title: str  # the full name
    unit: str  # empty where no smallest sizes were searched

    @property
    def cells(self) -> int:
        """Cells of a line: found, and the median size where there is one."""
        return 2 if self.unit else 1


@dataclass(frozen=True)
class ClassTable:
    """The classes of one classifier: a line per class, the cells of all perturbations in it."""

    classifier: str
    columns: tuple[ClassColumn, ...]
    lines: tuple[tuple[str, ...], ...]


def by_class(run: Run, rows: Sequence[Row]) -> list[ClassTable]:
    """A table for each classifier with enough images of at least two classes.

    A class with fewer images has no line; where it has fewer under one perturbation, no median.
    """
    names = style.short_names(
        [run.record.perturbations[key] for key in dict.fromkeys(row.perturbation for row in rows)]
    )
    tables = []
    for classifier in dict.fromkeys(row.classifier for row in rows):
        own = [row for row in rows if row.classifier == classifier]
        measured = MeasuredClassifier(run, classifier)
        groups = {row.perturbation: _by_label(measured, row.perturbation) for row in own}
        labels = sorted({label for group in groups.values() for label, of in group.items() if len(of) >= ENOUGH})
        if len(labels) < 2:
            continue
        classes = run.record.classifiers[classifier].classes
        columns = tuple(
            ClassColumn(names[row.perturbation], row.perturbation, row.unit if row.size else "") for row in own
        )
        lines = []
        for label in labels:
            cells = [_cells(groups[column.title].get(label, []), column) for column in columns]
            lines.append((class_name(label, classes), *(cell for of in cells for cell in of)))
        tables.append(ClassTable(classifier, columns, tuple(lines)))
    return tables


def _by_label(measured: MeasuredClassifier, perturbation: str) -> dict[int, list[Trial]]:
    groups: dict[int, list[Trial]] = {}
    for trial in without_repeats(trial for trial in measured.trials if trial.perturbation == perturbation):
        if trial.counts and trial.label is not None:
            groups.setdefault(trial.label, []).append(trial)
    return groups


def _cells(trials: Sequence[Trial], column: ClassColumn) -> list[str]:
    """`5 of 6`, and the median size with its interval; `–` where too few searches ran to tell it."""
    found = f"{sum(trial.outcome == FOUND for trial in trials)} of {len(trials)}"
    if not column.unit:
        return [found]
    sized = [observation(trial) for trial in trials if trial.outcome != FAILED]
    return [found, formatting.size(median_size(sized)) if len(sized) >= ENOUGH else formatting.NONE]
