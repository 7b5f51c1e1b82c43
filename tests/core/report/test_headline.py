"""The headline says what paired tests support, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from making_runs import perturbation, run_of, spending

from granu.report.headline import headline
from granu.report.rows import rows
from granu.runs.records import PerturbationRecord
from granu.runs.trials import FAILED, FOUND, NOT_FOUND, Trial

Z, LAYER, IMAGE = "tiny:z", "tiny:layer1", "tiny:image"
SIZES = np.random.default_rng(0).lognormal(0, 0.3, 30)


def trials(name: str, key: str, sizes: Sequence[float | None], unit: str = "sigma", votes: bool = True) -> list[Trial]:
    """One image per size; None was not found up to 10."""
    return [
        Trial(f"p{number}", key, name, NOT_FOUND if size is None else FOUND, label=0, predicted=1, unit=unit,
              size=size, tried=10.0, votes={"j": 0 if votes else 1})
        for number, size in enumerate(sizes)
    ]  # fmt: skip


def said(made: list[Trial], *records: PerturbationRecord) -> list[str]:
    run = run_of(made, *records, judges=("j",))
    return headline(run, rows(run))


def test_the_change_with_the_smallest_sizes_breaks_first() -> None:
    made = trials("a", Z, SIZES) + trials("a", LAYER, SIZES / 5) + trials("a", IMAGE, SIZES / 50, "pixel L2")
    (sentence,) = said(made)
    assert sentence.startswith("First to break is layer1, the smallest of 2 median sizes in sigma: 0.19")
    assert sentence.endswith("] for a.")


def test_classifiers_that_break_at_the_same_place_share_a_sentence() -> None:
    made = trials("a", Z, SIZES) + trials("a", LAYER, SIZES / 5) + trials("b", Z, SIZES) + trials("b", LAYER, SIZES / 5)
    (sentence,) = said(made)
    assert sentence.count(" for a and ") == 1 and sentence.endswith("for b.")


def test_nothing_is_said_of_sizes_that_do_not_differ_surely() -> None:
    shuffled = np.random.default_rng(1).permutation(SIZES)
    assert said(trials("a", Z, SIZES) + trials("a", LAYER, shuffled)) == []
    few = trials("a", Z, SIZES[:5]) + trials("a", LAYER, SIZES[:5] / 5)
    assert said(few) == [], "five pairs that point one way have p = 0.06"
    assert said(trials("a", Z, SIZES)) == []


def test_a_smaller_median_of_mostly_larger_sizes_does_not_break_first() -> None:
    layer = np.arange(1.0, 32)
    z = np.where(layer > 23, 0.5, layer + 0.1)
    assert np.median(z) < np.median(layer)
    assert said(trials("a", Z, z) + trials("a", LAYER, layer)) == []


def test_the_tests_of_several_changes_are_corrected() -> None:
    """Six pairs that point one way have p = 0.03, which two tests may not claim."""
    two = trials("a", Z, SIZES[:6]) + trials("a", LAYER, SIZES[:6] / 5)
    assert len(said(two)) == 1
    assert said(two + trials("a", "tiny:w", SIZES[:6] * 2)) == []


def test_searches_that_could_not_run_prove_nothing() -> None:
    failed = [replace(trial, outcome=FAILED, size=None) for trial in trials("a", Z, SIZES)[4:]]
    assert said(trials("a", Z, SIZES[:4]) + failed + trials("a", LAYER, SIZES / 5)) == []


def test_classifiers_that_do_not_differ_surely_are_not_compared() -> None:
    assert said(trials("a", Z, SIZES) + trials("b", Z, np.random.default_rng(1).permutation(SIZES))) == []


def test_one_of_three_that_is_surely_smaller_than_one_other_only_does_not_break_first() -> None:
    alike = SIZES / 5 * np.where(np.arange(30) % 2, 0.99, 1.02)
    third = "tiny:layer2"
    assert said(trials("a", Z, SIZES) + trials("a", LAYER, SIZES / 5) + trials("a", third, alike)) == []


def test_the_classifier_that_needs_larger_changes_holds_better_by_the_ratio_with_its_interval() -> None:
    made = trials("a", Z, SIZES) + trials("b", Z, SIZES * 2.5)
    assert said(made) == ["b holds better than a: the changes that fool it are 2.50 [2.50–2.50] times as large at z."]
    made = trials("a", Z, SIZES * 2.5) + trials("b", Z, SIZES)
    assert said(made) == [
        "b breaks more easily than a: the changes that fool it are 0.400 [0.400–0.400] times as large at z."
    ]


def test_the_largest_differences_come_first_and_the_rest_is_counted() -> None:
    keys = [f"tiny:layer{number}" for number in range(1, 6)]
    made = [t for n, key in enumerate(keys) for t in trials("a", key, SIZES, f"unit{n}")]
    made += [t for n, key in enumerate(keys) for t in trials("b", key, SIZES * (n + 2), f"unit{n}")]
    (sentence,) = said(made)
    assert sentence.endswith(
        "6.00 [6.00–6.00] times as large at layer5, 5.00 [5.00–5.00] times as large at layer4, "
        "4.00 [4.00–4.00] times as large at layer3 and 2 more."
    )


def test_a_ratio_of_which_many_pairs_are_undecided_is_not_told() -> None:
    half: list[float | None] = [None] * 10
    made = trials("a", Z, [*SIZES[:20], *half]) + trials("b", Z, [*(2 * SIZES[:20]), *half])
    assert said(made) == []
    made = trials("a", Z, [*SIZES[:28], None]) + trials("b", Z, [*(2 * SIZES[:28]), None])
    assert len(said(made)) == 1


def test_with_a_budget_the_difference_of_the_found_rates_is_told() -> None:
    missed = trials("b", Z, [None] * 20 + [1.0] * 10)
    made = trials("a", Z, [1.0] * 30) + missed
    (sentence,) = said(made, spending(Z, 1.0, judges=("j",)))
    assert sentence.startswith("b is fooled on fewer images than a: 67 [") and sentence.endswith("] of a hundred at z.")
    other_way = [*trials("a", Z, [None] * 20 + [1.0] * 10), *trials("b", Z, [1.0] * 30)]
    assert said(other_way, perturbation(Z, budget=1.0))[0].startswith("b is fooled on more images than a: 67 [")


def test_it_says_so_where_changes_count_that_judges_do_not_confirm() -> None:
    made = trials("a", Z, SIZES) + trials("b", Z, SIZES * 2, votes=False)
    assert said(made)[-1] == "Every change that fools counts here, whether or not the judges still see the label."
    assert len(said(trials("a", Z, SIZES, votes=False))) == 0
