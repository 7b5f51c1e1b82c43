"""Runs and comparisons as text, plain data, figures and HTML: what the command line prints and notebooks show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.errors import GranuError
from granu.report import formatting
from granu.report.benchmark import benchmarks
from granu.report.comparison import Comparison, Value, compare, unshared
from granu.report.export import records
from granu.report.labels import labelled, title_of
from granu.report.markdown import markdown_list, markdown_table
from granu.report.markup import html_lines, html_table
from granu.report.notes import failures, notes
from granu.report.pairing import MeasuredClassifier, choose_pair, merged
from granu.report.robustness import robustness
from granu.report.rows import Row, rows
from granu.report.table import LEGEND, by_classifier
from granu.report.text import text_table
from granu.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table_text(run: Run) -> str:
    """The tables of a run and the lines below them, as `granu report` prints them into a file."""
    run = labelled(run)
    found = rows(run)
    tables = [text_table(made.columns, made.lines, title) for title, made in by_classifier(found)]
    return "\n".join([*tables, *lines_below(run, found)])


def lines_below(run: Run, found: Sequence[Row], reference: str | None = None) -> list[str]:
    """The lines below a run's tables: the terms, means and unions, what failed, and what needs attention.

    `reference` is the classifier to whose errors those of the others are related.
    """
    return [
        LEGEND,
        *means(run, found, reference),
        *(f"failed: {sentence}" for sentence in failures(run.record)),
        *(f"note: {sentence}" for sentence in notes(run, found)),
    ]


def means(run: Run, found: Sequence[Row], reference: str | None = None) -> list[str]:
    """Sentences on the mean over perturbations, and on the union and mean of attacks."""
    return [
        *(sentence for benchmark in benchmarks(run, found, reference) for sentence in benchmark.lines()),
        *(sentence for one in robustness(run, found) for sentence in one.lines()),
    ]


def table_markdown(run: Run, reference: str | None = None) -> str:
    """The tables of a run and the lines below them as Markdown."""
    run = labelled(run)
    found = rows(run)
    tables = [markdown_table(made.columns, made.lines, title) for title, made in by_classifier(found)]
    return "\n".join([*tables, markdown_list(lines_below(run, found, reference))])


def rows_as_dicts(run: Run) -> list[dict[str, Value]]:
    """A flat record per classifier and perturbation, numbers at full precision."""
    return records(rows(labelled(run)))


def figure(run: Run) -> Figure:
    """The granularity profile. GranuError where no smallest sizes were searched."""
    from granu.report.profile import profile

    return profile(labelled(run))


def html(run: Run) -> str:
    """The tables of a run as an HTML fragment; of a run without trials, a sentence."""
    if not run.trials:
        return html_lines([*(f"failed: {sentence}" for sentence in failures(run.record)), f"{run} holds no trials yet"])
    run = labelled(run)
    found = rows(run)
    tables = [html_table(made.columns, made.lines, title, made.meanings) for title, made in by_classifier(found)]
    return f"<div>{''.join(tables)}{html_lines(lines_below(run, found))}</div>"


@dataclass(frozen=True)
class CompareResult:
    """Two classifiers compared image by image; one `Comparison` per perturbation that both were measured under."""

    first: MeasuredClassifier
    second: MeasuredClassifier
    comparisons: tuple[Comparison, ...]

    def table(self) -> str:
        """The table that `granu compare` prints, as text."""
        head = [f"first:  {self.first}", f"second: {self.second}"]
        return "\n".join([*head, text_table(COLUMNS, self.lines()), *self.lines_below()])

    def markdown(self) -> str:
        """The table and the lines below it as Markdown."""
        title = f"{self.second}, compared with {self.first}"
        return f"{markdown_table(COLUMNS, self.lines(), title)}\n{markdown_list(self.lines_below())}"

    def lines(self) -> list[tuple[str, ...]]:
        """The cells of the table, a line per perturbation; the columns are COLUMNS."""
        return [_cells(comparison) for comparison in self.comparisons]

    def lines_below(self) -> list[str]:
        """The lines below the table: the terms, and what is not compared."""
        other_judges = [c.perturbation for c in self.comparisons if not c.same_judges]
        return [
            *TERMS,
            *(f"note: {key} was measured for one of the two only" for key in unshared(self.first, self.second)),
            *(
                [f"note: the judges differ, so confirmed sizes are not compared: {', '.join(other_judges)}"]
                if other_judges
                else []
            ),
        ]

    def to_dicts(self) -> list[dict[str, Value]]:
        """A flat record per perturbation, numbers at full precision; `pandas.DataFrame` takes them."""
        return [comparison.as_dict() for comparison in self.comparisons]

    def figure(self) -> Figure:
        """Median sizes of both and their ratio, coarse to fine. GranuError where no smallest sizes were searched."""
        return figure(merged(self.first, self.second))

    def __repr__(self) -> str:
        return f"CompareResult({self.first}, {self.second}, perturbations={len(self.comparisons)})"

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        title = f"{self.second}, compared with {self.first}"
        return f"<div>{html_table(COLUMNS, self.lines(), title)}{html_lines(self.lines_below())}</div>"


def compare_runs(runs: Sequence[Run], classifier: str | None = None, versus: str | None = None) -> CompareResult:
    """Compare two classifiers of one run or of two. GranuError where they cannot be compared."""
    classifier, versus = title_of(runs[0], classifier), title_of(runs[-1], versus)
    first, second = choose_pair([labelled(run, like=runs[0]) for run in runs], classifier, versus)
    made = compare(first, second)
    if not made:
        raise GranuError(
            f"{first} and {second} share no perturbation; measure both with `granu eval` and the same --perturb"
        )
    return CompareResult(first, second, tuple(made))


COLUMNS = (
    "change", "images", "left out", "found % first", "second", "difference", "p", "size ratio", "p",
    "ratio, confirmed", "pairs",
)  # fmt: skip
TERMS = (
    "size ratio: second / first, median over images; above 1 the second needs larger changes.",
    "confirmed: only images on which every judge sees the label in all that was found. "
    "p: adjusted for all tests of this table (Holm).",
)


def _cells(c: Comparison) -> tuple[str, ...]:
    return (
        c.perturbation,
        str(c.images),
        str(c.left_out),
        _percent(c.first_found),
        _percent(c.second_found),
        f"{100 * c.rates.value:+.1f} [{100 * c.rates.low:+.1f}, {100 * c.rates.high:+.1f}]",
        formatting.probability(c.rates_p),
        formatting.ratio(c.sizes) if c.sizes else formatting.NONE,
        formatting.probability(c.sizes_p) if c.sizes else formatting.NONE,
        formatting.ratio(c.confirmed) if c.confirmed else formatting.NONE,
        str(c.confirmed.pairs) if c.confirmed else formatting.NONE,
    )


def _percent(share: float) -> str:
    return formatting.NONE if math.isnan(share) else formatting.percent(share)
