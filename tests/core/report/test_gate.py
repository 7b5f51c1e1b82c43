"""The gate fails what became worse by more than the margin or cannot be judged, and in 5 % of the runs nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from making_runs import perturbation, run_of, spending

from granu.report.gate import Verdict, gate
from granu.report.pairing import MeasuredClassifier
from granu.report.statistics import rate_rise_test, sign_test_below
from granu.runs.records import FailureRecord, PerturbationRecord
from granu.runs.trials import CLEAN_WRONG, FAILED, FOUND, NOT_FOUND, Trial

KEY = "tiny:layer1"


def trials(classifier: str, sizes: Sequence[float | str | None], key: str = KEY, beyond: float = 10.0) -> list[Trial]:
    """One image per size: None was not found, a text is another outcome."""
    made = []
    for number, size in enumerate(sizes):
        outcome = size if isinstance(size, str) else NOT_FOUND if size is None else FOUND
        value = size if isinstance(size, float | int) else None
        made.append(Trial(f"tiny#{number}", key, classifier, outcome, label=3, unit="-", size=value, tried=beyond))
    return made


def judged(
    first: list[Trial], second: list[Trial], *records: PerturbationRecord, margin: float = 5, **more: object
) -> Verdict:
    run = run_of([*first, *second], *records, **more)  # type: ignore[arg-type]
    return gate(MeasuredClassifier(run, "a"), MeasuredClassifier(run, "b"), margin)


def test_smaller_sizes_fail_only_beyond_the_margin() -> None:
    first = [2.0] * 40
    assert judged(trials("a", first), trials("b", [1.0] * 40)).reasons == (
        f"{KEY}: sizes are smaller by 50 % (p < 0.001)",
    )
    assert judged(trials("a", first), trials("b", [1.0] * 40), margin=51).passed
    assert judged(trials("a", first), trials("b", [1.92] * 40)).passed, "4 % smaller on every image is allowed"
    assert judged(trials("a", first), trials("b", [4.0] * 40)).passed


def test_more_found_images_fail_only_beyond_the_margin() -> None:
    key = "tiny:image"
    first, second = trials("a", [None] * 30 + [5] * 10, key), trials("b", [5] * 40, key)
    record = spending(key, 5.0)
    assert judged(first, second, record, margin=50).reasons == (
        "tiny:image: found on 75 more images of a hundred (p = 0.010)",
    )
    assert judged(first, second, record, margin=80).passed
    assert judged(trials("a", [5] * 40, key), trials("b", [None] * 30 + [5] * 10, key), record).passed


def test_a_classifier_that_names_everything_wrong_fails() -> None:
    verdict = judged(trials("a", [1.0] * 40), trials("b", [CLEAN_WRONG] * 40))
    assert verdict.reasons == (
        "tiny: misclassified without any change on 100 more images of a hundred (p < 0.001)",
        f"{KEY}: both classify 0 images correctly; a verdict needs at least 6",
    )


def test_searches_that_could_not_run_are_no_robustness() -> None:
    verdict = judged(trials("a", [1.0] * 45), trials("b", [FAILED] * 45))
    assert verdict.reasons == (f"{KEY}: 45 of 45 searches of the second could not run",)
    assert judged(trials("a", [1.0] * 45), trials("b", [FAILED] * 2 + [1.0] * 43)).passed


def test_what_could_not_be_measured_fails() -> None:
    failures = [FailureRecord("b", KEY, "tiny", "ValueError: no", 5), FailureRecord("a", KEY, "tiny", "other", 5)]
    verdict = judged(trials("a", [1.0] * 40), trials("b", [1.0] * 40), failures=failures)
    assert verdict.reasons == (f"{KEY}: 5 images of the second could not be measured (ValueError: no)",)


def test_too_few_images_for_any_verdict_fail_and_the_number_needed_is_enough() -> None:
    same = judged(trials("a", [1.0] * 5), trials("b", [1.0] * 5))
    assert same.reasons == (f"{KEY}: both classify 5 images correctly; a verdict needs at least 6",)
    assert judged(trials("a", [1.0] * 6), trials("b", [1.0] * 6)).passed
    assert not judged(trials("a", [1.0] * 6), trials("b", [0.5] * 6)).passed


def test_the_verdict_tells_what_it_could_have_noticed() -> None:
    spread = np.random.default_rng(0).lognormal(0, 1, 30).tolist()
    verdict = judged(trials("a", [1.0] * 30), trials("b", spread))
    assert verdict.passed and len(verdict.notes) == 1
    assert verdict.lines()[0] == "gate: passed; none of 3 tests shows a worsening by more than 5 % (p < 0.05, Holm)"
    assert verdict.lines()[1].startswith(
        "note: to notice sizes smaller by 10 % with a chance of 80%, tiny:layer1 needs"
    )
    assert judged(trials("a", [1.0] * 60), trials("b", [1.0] * 60)).notes == (), "equal sizes have no spread"


def test_clean_accuracy_is_tested_once_for_each_source_of_images() -> None:
    keys = ("tiny:layer1", "tiny:layer2")
    first = [t for key in keys for t in trials("a", [1.0] * 20, key)]
    second = [t for key in keys for t in trials("b", [1.0] * 20, key)]
    assert judged(first, second, *map(perturbation, keys)).tests == 1 + 2 * 2


def test_the_sign_test_is_that_of_a_fair_coin() -> None:
    assert sign_test_below([-1.0] * 5, 0.0) == pytest.approx(1 / 32)
    assert sign_test_below([0.0] * 5, 0.0) == 1.0, "a value at the bound is not below it"
    assert sign_test_below([], 0.0) == 1.0


def test_without_a_margin_the_test_of_a_rise_is_mcnemars() -> None:
    z = (12 - 3) / math.sqrt(12 + 3)
    assert rate_rise_test(3, 12, 50, 0.0) == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)))
    assert rate_rise_test(0, 0, 50, 0.0) == 1.0 and rate_rise_test(0, 0, 0, 0.05) == 1.0


def test_a_rise_of_exactly_the_margin_is_even_odds() -> None:
    assert rate_rise_test(5, 15, 100, 0.1) == pytest.approx(0.5)


Draw = Callable[[np.random.Generator, int], tuple[list[float | None], list[float | None]]]


def shifted(noise: np.random.Generator, count: int) -> tuple[list[float | None], list[float | None]]:
    """Sizes that are 5 % smaller at the median, with a spread between images and between the classifiers."""
    first = noise.lognormal(0, 0.5, count)
    return first.tolist(), (first * 0.95 * noise.lognormal(0, 0.3, count)).tolist()


def rising(noise: np.random.Generator, count: int) -> tuple[list[float | None], list[float | None]]:
    """A found rate that rises from 50 to 55 %, with sizes that say nothing."""
    ranks = noise.random(count)
    lost = (ranks < 0.5) & (noise.random(count) < 0.2)
    won = (ranks >= 0.5) & (noise.random(count) < 0.3)
    return [1.0 if r < 0.5 else None for r in ranks], [
        1.0 if (r < 0.5 and not gone) or new else None for r, gone, new in zip(ranks, lost, won, strict=True)
    ]


def failing_share(draw: Draw, count: int, runs: int, changes: int = 1, **record: float) -> float:
    """The share of runs that the gate fails although the truth lies at the margin."""
    noise = np.random.default_rng(count)
    failed = 0
    keys = [f"tiny:layer{number}" for number in range(changes)]
    for _ in range(runs):
        drawn = [draw(noise, count) for _ in keys]
        first = [t for key, (one, _) in zip(keys, drawn, strict=True) for t in trials("a", one, key, beyond=1.0)]
        second = [t for key, (_, two) in zip(keys, drawn, strict=True) for t in trials("b", two, key, beyond=1.0)]
        records = [spending(key, **record) if record else perturbation(key) for key in keys]
        failed += not judged(first, second, *records).passed
    return failed / runs


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 30, 100])
def test_a_change_at_the_margin_fails_in_at_most_five_percent_of_the_runs(count: int) -> None:
    runs = 2000
    noise = 2 * math.sqrt(0.05 * 0.95 / runs)
    assert failing_share(shifted, count, runs) <= 0.05 + noise
    assert failing_share(rising, count, runs, budget=1.0) <= 0.05 + noise
    assert failing_share(shifted, count, runs // 10, changes=24) <= 0.05 + noise * math.sqrt(10)


@pytest.mark.slow
def test_a_change_of_four_times_the_margin_is_noticed() -> None:
    def worse(noise: np.random.Generator, count: int) -> tuple[list[float | None], list[float | None]]:
        first = noise.lognormal(0, 0.5, count)
        return first.tolist(), (first * 0.8 * noise.lognormal(0, 0.3, count)).tolist()

    assert failing_share(worse, 100, 300) > 0.9
