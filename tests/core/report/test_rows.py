"""Rows say what the trials say: nothing dropped, nothing counted twice."""

from collections.abc import Callable
from pathlib import Path

import pytest

from granu.errors import GranuError
from granu.report.rows import in_order, rows, rows_of
from granu.report.table import by_classifier
from granu.runs.folder import Run, read_run
from granu.runs.trials import CLEAN_WRONG, FAILED, FOUND, NOT_FOUND, UNREADABLE, Trial


def trial(number: int, outcome: str, size: float | None = None, **more: object) -> Trial:
    fields = {"label": 0, "unit": "pixels", "size": size, "tried": 10.0} | more
    return Trial(f"p{number}", "sparse-pixel", "zoo:a", outcome, **fields)  # type: ignore[arg-type]


def test_rates_count_what_was_named_right() -> None:
    (row,) = rows_of([
        trial(0, FOUND, 1.0), trial(1, NOT_FOUND), trial(2, FAILED, note="no gradient"),
        trial(3, CLEAN_WRONG), trial(4, UNREADABLE), trial(5, FOUND, 3.0),
    ])  # fmt: skip
    assert (row.counted, row.clean_wrong, row.unreadable, row.failed) == (4, 1, 1, 1)
    assert (row.found.hits, row.found.total) == (2, 4)
    assert row.reasons == (("no gradient", 1),) and row.unit == "pixels"


def test_not_found_raises_the_median_and_is_never_zero() -> None:
    (row,) = rows_of([trial(0, FOUND, 1.0), trial(1, FOUND, 2.0), trial(2, NOT_FOUND), trial(3, NOT_FOUND)])
    assert row.size is not None and row.size.value == 2.0
    (row,) = rows_of([trial(0, FOUND, 1.0), trial(1, NOT_FOUND), trial(2, NOT_FOUND)])
    assert row.size is not None and row.size.value is None and row.size.largest == 10


def test_a_find_of_unknown_size_is_found_and_says_nothing_of_sizes() -> None:
    (row,) = rows_of([trial(0, FOUND, None), *(trial(n, FOUND, 1.0) for n in range(1, 4))])
    assert row.found.hits == 4 and row.size is not None and row.size.value == 1.0
    (row,) = rows_of([trial(0, FOUND, None)])
    assert row.size is not None and row.size.value is None


def test_confirmed_asks_every_judge() -> None:
    (row,) = rows_of([
        trial(0, FOUND, 1.0, votes={"a": 0, "b": 0}), trial(1, FOUND, 1.0, votes={"a": 0, "b": 2}),
        trial(2, NOT_FOUND, votes={"a": 0, "b": 0}), trial(3, FOUND, 1.0, votes={"a": -1, "b": 0}),
    ])  # fmt: skip
    assert row.confirmed is not None and (row.confirmed.hits, row.confirmed.total) == (1, 4)


def test_an_unconfirmed_find_is_censored_at_its_size_and_not_left_out() -> None:
    """Left out, the one confirmed find at 4 would be the median; the truth is only known to be 4 or more."""
    trials = [trial(n, FOUND, n + 1.0, votes={"a": 0 if n == 3 else 1}) for n in range(5)]
    (row,) = rows_of(trials)
    assert row.confirmed_size is not None and row.confirmed_size.images == 5
    assert row.confirmed_size.value == 4.0  # of the two still at risk there, half
    (row,) = rows_of([*trials, trial(9, FOUND, 9.0, votes={"a": 1})])
    assert row.confirmed_size is not None and row.confirmed_size.value is None


def test_without_judges_nothing_is_confirmed_and_nothing_claimed() -> None:
    (row,) = rows_of([trial(0, FOUND, 1.0)])
    assert row.confirmed is None and row.confirmed_size is None


def test_controls_count_where_there_was_one() -> None:
    (row,) = rows_of([trial(0, FOUND, 1.0, control=True), trial(1, FOUND, 1.0, control=False), trial(2, FOUND, 1.0)])
    assert row.control is not None and (row.control.hits, row.control.total) == (1, 2)


def test_visible_distances_are_of_what_was_found() -> None:
    (row,) = rows_of([trial(0, FOUND, 1.0, l2=1.0), trial(1, FOUND, 1.0, l2=3.0), trial(2, NOT_FOUND, l2=100.0)])
    assert row.l2 == 2.0 and row.ssim is None


def test_both_counts_of_sparse_changes_and_the_size_of_images_are_told() -> None:
    sizes = {"height": 224, "width": 160}
    few = trial(0, FOUND, 2.0, pixels=2, features=5, unit="pixels", **sizes)
    more = trial(1, FOUND, 4.0, pixels=4, features=8, unit="pixels", **{**sizes, "height": 96})
    (row,) = made_rows = rows_of([few, more, trial(2, NOT_FOUND, pixels=90, features=99, unit="pixels")])
    assert (row.pixels, row.features) == (3, 6.5)
    assert row.image_sizes == ((96, 160), (224, 160))
    ((title, made),) = by_classifier(made_rows)
    assert "(96 x 160 to 224 x 160)" in title
    assert made.lines[0][made.columns.index("features")] == "6"


def test_a_spent_budget_is_no_smallest_size() -> None:
    (row,) = rows_of([Trial("p", "tiny:layer1,budget=2,search=worst", "zoo:a", FOUND, label=0, size=2.0)])
    assert row.size is None and row.budget == 2.0


def test_a_image_that_is_told_twice_counts_once() -> None:
    (row,) = rows_of([trial(0, FOUND, 1.0), trial(0, FOUND, 1.0)])
    assert row.counted == 1


def test_perturbations_come_coarse_to_fine_and_unknown_ones_last(matrix: Run) -> None:
    assert [(row.classifier, row.perturbation) for row in rows(matrix)] == [
        ("zoo:plain", "tiny:layer1"), ("zoo:plain", "tiny:image"),
        ("zoo:hard", "tiny:layer1"), ("zoo:hard", "tiny:image"),
    ]  # fmt: skip
    assert in_order(["new", "b", "a", "b"], ["a", "b"]) == ["a", "b", "new"]


def test_all_clean_wrong_is_a_row_of_nothing() -> None:
    (row,) = rows_of([trial(0, CLEAN_WRONG)])
    assert row.counted == 0 and row.found.total == 0 and row.size is None


def test_an_empty_run_is_told(run_folder: Callable[..., Path]) -> None:
    with pytest.raises(GranuError, match="holds no trials yet"):
        rows(read_run(run_folder()))
