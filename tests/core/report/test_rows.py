"""Rows: every number comes from the right column of the trials, every property from the records."""

import dataclasses

import pytest
from making_runs import perturbation, run_of, spending

from granu.errors import GranuError, RunFolderError
from granu.report.rows import Row, natural, rows, without_repeats
from granu.runs.records import PerturbationRecord
from granu.runs.run import Run
from granu.runs.trials import CLASSIFIER, CLEAN_WRONG, FAILED, FOUND, NOT_FOUND, UNREADABLE, Trial


def trial(number: int, outcome: str, size: float | None = None, **more: object) -> Trial:
    fields = {"label": 0, "unit": "pixels", "size": size, "tried": 10.0} | more
    return Trial(f"p{number}", "sparse-pixel", "zoo:a", outcome, **fields)  # type: ignore[arg-type]


def row_of(*trials: Trial, record: PerturbationRecord | None = None, judges: tuple[str, ...] = ()) -> Row:
    (row,) = rows(run_of(trials, *([record] if record else []), judges=judges))
    return row


def test_rates_count_what_was_classified_correctly() -> None:
    row = row_of(
        trial(0, FOUND, 1.0), trial(1, NOT_FOUND), trial(2, FAILED, note="no gradient"),
        trial(3, CLEAN_WRONG), trial(4, UNREADABLE), trial(5, FOUND, 3.0), trial(6, FAILED),
    )  # fmt: skip
    assert (row.counted, row.clean_wrong, row.unreadable, row.failed) == (5, 1, 1, 2)
    assert (row.found.hits, row.found.total) == (2, 5)
    assert row.reasons == (("no gradient", 1), ("no reason given", 1)) and row.unit == "pixels"


def test_every_number_is_taken_from_its_own_column() -> None:
    one = {"l2": 1.0, "linf": 0.1, "ssim": 0.91, "pixels": 10, "features": 20, "forward": 100, "backward": 200}
    two = {"l2": 2.0, "linf": 0.2, "ssim": 0.92, "pixels": 11, "features": 21, "forward": 101, "backward": 202}
    six = {"l2": 6.0, "linf": 0.6, "ssim": 0.96, "pixels": 16, "features": 26, "forward": 105, "backward": 210}
    row = row_of(trial(0, FOUND, 4.0, **one), trial(1, FOUND, 3.0, **two), trial(2, FOUND, 5.0, **six))
    assert row.size is not None and (row.size.value, row.size.largest, row.size.images) == (4.0, 5.0, 3)
    assert (row.l2, row.linf, row.ssim, row.pixels, row.features) == (2.0, 0.2, 0.92, 11, 21)
    assert (row.forward, row.backward) == (102, 204)


def test_distances_are_medians_over_what_was_found_and_passes_means_over_all() -> None:
    found = [trial(n, FOUND, 1.0, l2=n + 1.0, forward=10) for n in range(2)]
    row = row_of(*found, trial(2, NOT_FOUND, l2=100.0, forward=40))
    assert row.l2 == 1.5 and row.ssim is None and row.forward == 20


def test_what_is_not_found_counts_as_larger_than_what_was_tried() -> None:
    row = row_of(trial(0, FOUND, 1.0), trial(1, FOUND, 2.0), trial(2, NOT_FOUND), trial(3, NOT_FOUND))
    assert row.size is not None and row.size.value == 2.0
    row = row_of(trial(0, FOUND, 1.0), trial(1, NOT_FOUND), trial(2, NOT_FOUND))
    assert row.size is not None and row.size.value is None and row.size.largest == 10


def test_a_search_that_could_not_run_says_nothing_about_sizes() -> None:
    failed = [trial(n, FAILED, tried=9.0) for n in range(5, 9)]
    row = row_of(trial(0, FOUND, 1.0), trial(1, FOUND, 2.0), trial(2, FOUND, 3.0), *failed)
    assert row.size is not None and (row.size.value, row.size.images) == (2.0, 3)
    assert row_of(*failed).size is None and row_of(*failed).failed == 4


def test_a_search_that_stopped_early_is_censored_at_what_it_tried() -> None:
    row = row_of(trial(0, NOT_FOUND, tried=0.5), *(trial(n, FOUND, float(n)) for n in (1, 2, 3)))
    assert row.size is not None and row.size.value == 2.0 and row.size.images == 4


def test_a_found_change_of_unknown_size_does_not_affect_the_median() -> None:
    row = row_of(trial(0, FOUND, None), *(trial(n, FOUND, 1.0) for n in range(1, 4)))
    assert row.found.hits == 4 and row.size is not None and row.size.value == 1.0
    row = row_of(trial(0, FOUND, None))
    assert row.size is not None and row.size.value is None


def test_a_change_is_confirmed_by_all_judges() -> None:
    row = row_of(
        trial(0, FOUND, 1.0, votes={"a": 0, "b": 0}), trial(1, FOUND, 1.0, votes={"a": 0, "b": 2}),
        trial(2, NOT_FOUND, votes={"a": 0, "b": 0}), trial(3, FOUND, 1.0, votes={"a": -1, "b": 0}),
        judges=("a", "b"),
    )  # fmt: skip
    assert row.confirmed is not None and (row.confirmed.hits, row.confirmed.total) == (1, 4)


def test_an_unconfirmed_change_is_censored_at_its_size() -> None:
    """Left out, the one confirmed change at 4 would be the median; the true one is only known to be 4 or more."""
    trials = [trial(n, FOUND, n + 1.0, votes={"a": 0 if n == 3 else 1}) for n in range(5)]
    row = row_of(*trials, judges=("a",))
    assert row.confirmed_size is not None and row.confirmed_size.images == 5
    assert row.confirmed_size.value == 4.0  # half of the two still at risk there
    row = row_of(*trials, trial(9, FOUND, 9.0, votes={"a": 1}), judges=("a",))
    assert row.confirmed_size is not None and row.confirmed_size.value is None


@pytest.mark.parametrize("judges", [(), ("zoo:a",)])
def test_without_a_judge_other_than_the_classifier_nothing_is_confirmed(judges: tuple[str, ...]) -> None:
    row = row_of(trial(0, FOUND, 1.0), judges=judges)
    assert row.confirmed is None and row.confirmed_size is None


def test_a_guide_is_no_judge_of_what_it_guided() -> None:
    (record,) = run_of([trial(0, FOUND, 1.0)], judges=("a",)).record.perturbations.values()
    guided = dataclasses.replace(record, guides=("a",))
    row = row_of(trial(0, FOUND, 1.0), record=guided)
    assert row.confirmed is None and row.confirmed_size is None


def test_judges_are_those_of_the_record_even_if_no_image_counts() -> None:
    row = row_of(trial(0, CLEAN_WRONG), judges=("a",))
    assert row.confirmed is not None and row.confirmed.total == 0 and row.confirmed_size is None


def test_a_change_inside_the_classifier_has_no_image_and_no_judges() -> None:
    inside = [trial(n, FOUND, n + 1.0, evidence=CLASSIFIER) for n in range(3)]
    row = row_of(*inside, trial(9, CLEAN_WRONG), judges=("a",))
    assert row.evidence == CLASSIFIER and row.size is not None and row.size.value == 2.0
    assert row.confirmed is None and row.confirmed_size is None and row.l2 is None


def test_controls_count_where_there_was_one() -> None:
    row = row_of(trial(0, FOUND, 1.0, control=True), trial(1, FOUND, 1.0, control=False), trial(2, FOUND, 1.0))
    assert row.control is not None and (row.control.hits, row.control.total) == (1, 2)


def test_sizes_of_images_are_sorted_and_each_listed_once() -> None:
    sizes = [(224, 160), (96, 160), (224, 160)]
    row = row_of(*(trial(n, FOUND, 2.0, height=h, width=w) for n, (h, w) in enumerate(sizes)))
    assert row.image_sizes == ((96, 160), (224, 160))


def test_the_budget_comes_from_the_record_and_leaves_no_median() -> None:
    """The key is not parsed: `8/255` is no number that float() reads."""
    key = "pixel:linf,budget=8/255,search=worst"
    row = row_of(
        Trial("p", key, "zoo:a", FOUND, label=0, size=0.03, votes={"a": 0}),
        record=spending(key, 8 / 255, judges=("a",)),
    )
    assert row.budget == 8 / 255 and row.size is None and row.confirmed_size is None
    assert row.confirmed is not None and row.confirmed.hits == 1


def test_the_unit_comes_from_the_record() -> None:
    assert row_of(trial(0, FOUND, 1.0), record=perturbation("sparse-pixel", unit="values")).unit == "values"


def test_a_repeated_image_counts_once_with_its_last_trial() -> None:
    row = row_of(trial(0, FOUND, 1.0), trial(0, FOUND, 2.0))
    assert row.counted == 1 and row.size is not None and row.size.value == 2.0


def test_images_are_in_natural_order_whatever_the_order_of_trials() -> None:
    trials = [trial(n, FOUND, 1.0) for n in (10, 2, 1)]
    assert [t.image for t in without_repeats(trials)] == ["p1", "p2", "p10"]
    assert sorted(["a10", "a2b", "b", "2", "a02", ""], key=natural) == ["", "a02", "a2b", "a10", "b", "2"]


def test_rows_are_in_the_order_of_the_records(matrix: Run) -> None:
    assert [(row.classifier, row.perturbation) for row in rows(matrix)] == [
        ("zoo:plain", "tiny:layer1"), ("zoo:plain", "tiny:image"),
        ("zoo:hard", "tiny:layer1"), ("zoo:hard", "tiny:image"),
    ]  # fmt: skip


def test_all_misclassified_is_a_row_without_numbers() -> None:
    row = row_of(trial(0, CLEAN_WRONG))
    assert row.counted == 0 and row.found.total == 0 and row.size is None and row.forward == 0


def test_an_empty_run_is_refused() -> None:
    with pytest.raises(GranuError, match="this run holds no trials yet"):
        rows(run_of([]))


@pytest.mark.parametrize("kind", ["perturbation", "classifier"])
def test_a_trial_without_a_record_is_refused(kind: str) -> None:
    run = run_of([trial(0, FOUND, 1.0)])
    run.trials.append(dataclasses.replace(run.trials[0], **{kind: "other:z"}))
    with pytest.raises(RunFolderError, match=f"run.json has no record of the {kind} 'other:z'"):
        rows(run)
