"""Sentences on what a perturbation's own model loses, and what its change costs."""

from __future__ import annotations

from typing import Any

import pytest
from making_runs import run_of

from granu.report.arms import of_arms
from granu.report.benchmark import score
from granu.report.notes import notes
from granu.report.rows import rows
from granu.runs.trials import CLEAN_WRONG, FOUND, NOT_ENCODED, NOT_FOUND, RECONSTRUCTION_WRONG, Trial


def trial(image: str, outcome: str, **more: Any) -> Trial:
    fields: dict[str, Any] = {
        "label": 0, "unit": "severity", "levels": {"0.5": 0, "1": 0}, "unchanged": {"0.5": 0, "1": 0},
        "arms": {"source": 0, "prepared": 0, "reconstruction": 0},
    }  # fmt: skip
    return Trial(image, "edit:snow", "net", outcome, **(fields | more))


TRIALS = (
    trial("a", FOUND, size=0.5, tried=1.0, levels={"0.5": 1, "1": 1}),
    trial("b", NOT_FOUND, tried=0.5, levels={"0.5": 0, "1": 1}, unchanged={"0.5": 0, "1": 1}),
    trial("c", NOT_FOUND, tried=1.0),
    trial("d", RECONSTRUCTION_WRONG, levels={"0.5": 1, "1": 1}, unchanged={"0.5": 1, "1": 1},
          arms={"source": 0, "prepared": 1, "reconstruction": 1}, predicted=1),
    trial("e", NOT_ENCODED, levels={}, unchanged={}, arms={}, note="snow does not apply"),
    trial("f", CLEAN_WRONG, levels={}, unchanged={}, arms={}, predicted=1),
)  # fmt: skip


def test_the_sentence_separates_the_change_from_what_the_model_loses() -> None:
    assert of_arms(run_of(TRIALS)) == [
        "edit:snow, net: of 4 images classified correctly as they came, 75 % are once prepared; "
        "without change → changed: 0.5: 75 → 50 % (-25.0), 1: 50 → 25 % (-25.0); "
        "left out: 1 misclassified once prepared, or without change at the smallest size; "
        "left out: 1 (snow does not apply)"
    ]


def test_the_sentence_stands_below_the_table() -> None:
    run = run_of(TRIALS)
    assert of_arms(run)[0] in notes(run, rows(run))


def test_a_run_without_such_changes_has_no_sentence() -> None:
    assert of_arms(run_of([Trial("a", "pixel:l2", "net", FOUND, label=0, size=1.0)])) == []


def test_an_image_without_an_edit_enters_no_accuracy() -> None:
    assert score(TRIALS[4]) is None
    (row,) = rows(run_of(TRIALS))
    assert row.accuracy is not None and row.accuracy.value == pytest.approx((0 + 0.5 + 1 + 0 + 0) / 5)
    assert (row.counted, row.reconstruction_wrong, row.not_encoded, row.clean_wrong) == (3, 1, 1, 1)
