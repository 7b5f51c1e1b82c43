"""Signs of ill health: each shows where it should, and a healthy run shows none."""

from typing import Any

import pytest

from granu.report.health import check
from granu.report.rows import rows_of
from granu.runs.trials import CLEAN_WRONG, FAILED, FOUND, NOT_FOUND, Trial


def trials(count: int, outcome: str = FOUND, key: str = "tiny:z", start: int = 0, **more: Any) -> list[Trial]:
    size = 1.0 if outcome == FOUND else None
    return [
        Trial(f"p{n}", key, "zoo:a", outcome, label=0, size=size, tried=2.0, **more)
        for n in range(start, start + count)
    ]  # fmt: skip


def test_a_healthy_run_has_no_signs() -> None:
    assert check(rows_of(trials(40, control=False, votes={"judge": 0}))) == []


@pytest.mark.parametrize(
    ("ill", "message"),
    [
        (trials(19), "few images count, so raise --count before concluding: tiny:z (19)"),
        (trials(20, NOT_FOUND), "nothing was found, which may be a weak search and no strong classifier"),
        (trials(20) + trials(2, FAILED, start=20, note="zero gradient"), "tiny:z (2 of 22, most often: zero gradient)"),
        (trials(20) + trials(10, CLEAN_WRONG, start=20), "many clean images are named wrong"),
        (trials(20, control=True), "random changes of the same size fool as well, so the search adds little"),
        (trials(20, votes={"judge": 1}), "the judges still see the label in fewer than half of what was found"),
    ],
)
def test_an_ill_run_tells_its_sign(ill: list[Trial], message: str) -> None:
    (flag,) = check(rows_of(ill))
    assert message in str(flag)


def test_a_sign_at_several_changes_is_one_flag() -> None:
    (flag,) = check(rows_of(trials(5, key="tiny:z") + trials(5, key="tiny:image")))
    assert str(flag) == "zoo:a: few images count, so raise --count before concluding (5 at 2 changes)"
