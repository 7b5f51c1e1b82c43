"""Several classifiers relative to one of them, per perturbation: which training helps at which grain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.errors import GranuError, OptionError
from granu.report import formatting
from granu.report.comparison import Value, compare, counted_pairs
from granu.report.labels import labelled, title_of
from granu.report.markdown import markdown_list, markdown_table
from granu.report.median_ratio import MedianRatio, median_ratio
from granu.report.notes import of_guides
from granu.report.pairing import MeasuredClassifier, check_known
from granu.report.rows import check_run, classifiers_of, confirmed_observation
from granu.report.statistics import Ratio
from granu.report.text import text_table
from granu.runs.records import PerturbationRecord
from granu.runs.run import Run
from granu.runs.trials import CLASSIFIER, FAILED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Cell:
    """One classifier relative to the reference under one perturbation, on images that both classify correctly.

    `sizes` is the median of the images' ratios over all that was found. `preserving` is the ratio of the median
    label-preserving sizes: a change that not every judge confirms is censored at its size. It is None without
    judges, where the judges of the two differ, where there are no images to show, and where guides kept the label
    in the search, since all that was found then is label-preserving.
    """

    classifier: str
    perturbation: str
    images: int
    sizes: Ratio
    preserving: MedianRatio | None

    @property
    def verdict(self) -> int:
        """1 if the interval lies above 1, -1 if below, otherwise 0; of `preserving` where it is known."""
        low, high = self.interval
        return int(low > 1) - int(high < 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of `preserving` where it is known, otherwise of `sizes`."""
        shown = self.preserving or self.sizes
        return (0.0 if shown.low is None else shown.low, math.inf if shown.high is None else shown.high)

    def as_dict(self) -> dict[str, Value]:
        """A flat record, numbers at full precision; infinite ends are those of medians beyond all sizes tried."""
        kept = self.preserving
        return {
            "classifier": self.classifier,
            "perturbation": self.perturbation,
            "images": self.images,
            "preserving_ratio": kept.value if kept else None,
            "preserving_ratio_low": kept.low if kept else None,
            "preserving_ratio_high": kept.high if kept else None,
            "preserving_ratio_bound": kept.bound if kept else None,
            "ratio": self.sizes.value,
            "ratio_low": self.sizes.low,
            "ratio_high": self.sizes.high,
            "ratio_pairs": self.sizes.pairs,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class RelativeProfile:
    """All further classifiers of a run relative to one of them; perturbations in the order of the records."""

    run: Run
    reference: str
    classifiers: tuple[str, ...]
    perturbations: tuple[PerturbationRecord, ...]
    cells: tuple[Cell, ...]

    def cell(self, classifier: str, perturbation: str) -> Cell | None:
        """The cell of a classifier and a perturbation; None where one of the two was not measured."""
        for cell in self.cells:
            if (cell.classifier, cell.perturbation) == (classifier, perturbation):
                return cell
        return None

    @property
    def judged(self) -> bool:
        """True if label-preserving sizes are known anywhere."""
        return any(cell.preserving is not None for cell in self.cells)

    def table(self) -> str:
        """The tables that `granu compare --reference` prints, as text."""
        return "\n".join([*(text_table(*made) for made in self.tables()), *self.lines_below()])

    def markdown(self) -> str:
        """The tables and the lines below them as Markdown."""
        return "\n".join([*(markdown_table(*made) for made in self.tables()), markdown_list(self.lines_below())])

    def tables(self) -> list[tuple[tuple[str, ...], list[tuple[str, ...]], str]]:
        """Columns, lines and title of each table: label-preserving sizes if judges voted, then all that was found."""
        return [
            (("change", *self.classifiers), self._lines(preserving), f"{title}, relative to {self.reference}")
            for preserving, title in ((True, "median label-preserving size"), (False, "size of all that was found"))
            if self.judged or not preserving
        ]

    def lines_below(self) -> list[str]:
        """The terms, below the tables."""
        kept = "label-preserving: ratio of medians; what not every judge confirms is censored at its size."
        return [
            "above 1 the classifier needs larger changes than the reference, on images that both classify correctly.",
            *([kept] if self.judged else []),
            "all that was found: median of the images' own ratios. Intervals: 95 %, bootstrap over the images.",
            *of_guides(self.run.record),
        ]

    def to_dicts(self) -> list[dict[str, Value]]:
        """A flat record per classifier and perturbation; `pandas.DataFrame` takes them."""
        return [cell.as_dict() for cell in self.cells]

    def figure(self) -> Figure:
        """A row per classifier, a column per perturbation, coarse to fine."""
        from granu.report.relative_figure import relative_figure

        return relative_figure(self)

    def _lines(self, preserving: bool) -> list[tuple[str, ...]]:
        return [
            (record.key, *(_text(self.cell(name, record.key), preserving) for name in self.classifiers))
            for record in self.perturbations
        ]


def relative_profile(run: Run, reference: str) -> RelativeProfile:
    """Relate every other classifier of a run to `reference`, given by name or label.

    UnknownName if it is not in the run; GranuError where no other classifier, or no smallest size, was measured.
    """
    check_run(run)
    reference = title_of(run, reference) or reference
    run = labelled(run)
    check_known(run, reference)
    first = MeasuredClassifier(run, reference)
    others = [MeasuredClassifier(run, name) for name in classifiers_of(run) if name != reference]
    if not others:
        raise OptionError(f"{run} holds no other classifier than {reference}; measure the ones to relate to it as well")
    cells = tuple(cell for other in others for cell in _cells(first, other))
    measured = {cell.perturbation for cell in cells}
    if not measured:
        raise GranuError(f"{run} holds no smallest sizes to relate; measure some with search=smallest")
    records = tuple(record for key, record in run.record.perturbations.items() if key in measured)
    return RelativeProfile(run, reference, tuple(other.name for other in others), records, cells)


def _cells(first: MeasuredClassifier, second: MeasuredClassifier) -> Sequence[Cell]:
    return [
        Cell(second.name, c.perturbation, c.images, c.sizes, _preserving(c.perturbation, first, second))
        for c in compare(first, second)
        if c.sizes is not None
    ]


def _preserving(perturbation: str, first: MeasuredClassifier, second: MeasuredClassifier) -> MedianRatio | None:
    judges = first.judges(perturbation)
    if first.run.record.perturbations[perturbation].guides:
        return None
    pairs = [
        pair for pair in counted_pairs(perturbation, first, second) if all(trial.outcome != FAILED for trial in pair)
    ]
    if not judges or judges != second.judges(perturbation) or any(t.evidence == CLASSIFIER for p in pairs for t in p):
        return None
    return median_ratio([(confirmed_observation(a), confirmed_observation(b)) for a, b in pairs])


def _text(cell: Cell | None, preserving: bool) -> str:
    if cell is None:
        return formatting.NONE
    return formatting.median_ratio(cell.preserving) if preserving else formatting.ratio(cell.sizes)
