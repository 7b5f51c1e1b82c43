"""The table and its cells: three digits, intervals, and no column that says nothing."""

import math

import pytest

from granu.report import formatting
from granu.report.rows import rows, rows_of
from granu.report.statistics import Median, rate
from granu.report.table import table
from granu.runs.folder import Run
from granu.runs.trials import FOUND, Trial


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.2345, "1.23"), (0.9996, "1.00"), (12.34, "12.3"), (123.4, "123"), (0.01234, "0.0123"), (-2.5, "-2.50"),
        (0, "0"), (1e-7, "1.00e-07"), (None, "–"), (math.nan, "–"), (math.inf, "∞"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, message: str) -> None:
    assert formatting.number(value) == message


@pytest.mark.parametrize(("part", "message"), [(0, "0"), (1, "100"), (0.5, "50"), (0.998, "99.8"), (0.004, "0.4")])
def test_all_but_one_is_not_told_as_all(part: float, message: str) -> None:
    assert formatting.percent(part) == message


@pytest.mark.parametrize(
    ("median", "message"),
    [
        (Median(1.32, 1.2, 1.414, 9.0, 50), "1.32 [1.20–1.41]"),
        (Median(1.32, 1.2, None, 9.0, 50), "1.32 [1.20–9.00+]"),
        (Median(None, 1.2, None, 9.0, 50), "> 9.00 [1.20–9.00+]"),
        (Median(None, None, None, 9.0, 50), "> 9.00"),
        (None, "–"),
    ],
)
def test_a_median_beyond_all_sizes_says_so(median: Median | None, message: str) -> None:
    assert formatting.size(median) == message


def test_a_share_of_nothing_is_no_zero() -> None:
    assert formatting.share(rate(0, 0)) == "–" and formatting.share(rate(0, 20)).startswith("0 [0–")


def test_one_classifier_needs_no_column() -> None:
    one = table(rows_of([Trial("p", "tiny:z", "zoo:a", FOUND, label=0, size=1.0, tried=2.0)]))
    assert "classifier" not in one.columns and "left out" not in one.columns and "failed" not in one.columns
    assert one.lines[0][one.columns.index("confirmed %")] == "no judges"
    assert "median, confirmed" not in one.columns


def test_every_row_has_a_cell_for_every_column(matrix: Run) -> None:
    made = table(rows(matrix))
    assert len(made.lines) == 4 and {len(line) for line in made.lines} == {len(made.columns)} == {len(made.meanings)}
    assert dict(zip(made.columns, made.lines[0], strict=True))["left out"] == "1"


def test_a_budget_is_told_in_place_of_a_median() -> None:
    made = table(rows_of([Trial("p", "tiny:z,budget=2,search=worst", "zoo:a", FOUND, label=0, size=2.0)]))
    assert made.lines[0][made.columns.index("median size")] == "spends 2.00"
