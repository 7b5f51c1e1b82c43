"""`granu compare`: pairs by image, tells apart what is worse from what is chance, refuses what cannot be paired."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from granu.cli import app
from granu.errors import GranuError
from granu.report.comparison import compare, regressions
from granu.runs.folder import open_run
from granu.runs.trials import CLEAN_WRONG, FOUND, NOT_FOUND, Trial


def trials(
    classifier: str, sizes: Sequence[float | None], perturbation: str = "tiny:layer1", **more: Any
) -> list[Trial]:
    """One image per size; None was not found, though looked at up to 10."""
    return [
        Trial(
            f"tiny#{number}", perturbation, classifier, NOT_FOUND if size is None else FOUND,
            label=3, unit="sigma (RMS)", size=size, tried=10.0, **more,
        )
        for number, size in enumerate(sizes)
    ]  # fmt: skip


def run_of(folder: Path, *groups: list[Trial], **identity: Any) -> Path:
    with open_run(folder, {"seed": 0, "data": None, "judges": []} | identity) as run:
        for group in groups:
            run.append(group)
    return folder


def granu(*words: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def test_pairs_are_made_by_image_and_not_by_position() -> None:
    first, second = trials("a", [1, 2, 4, 8]), trials("b", [2, 4, 8, 16])
    (made,) = compare(first, reversed(second))
    assert made.sizes is not None and made.sizes.value == pytest.approx(2) and made.images == 4


def test_a_image_that_one_of_them_names_wrong_is_left_out() -> None:
    wrong = Trial("tiny#1", "tiny:layer1", "b", CLEAN_WRONG, label=3)
    (made,) = compare(trials("a", [1, 1, 1]), [wrong, *[t for t in trials("b", [3, 1, 3]) if t.image != "tiny#1"]])
    assert (made.images, made.left_out) == (2, 1)
    assert made.sizes is not None and made.sizes.value == pytest.approx(3)


def test_the_confirmed_ratio_leaves_out_pairs_in_which_a_label_was_lost() -> None:
    first = trials("a", [1, 1, 1], votes={"judge": 3})
    lost, *kept = trials("b", [9, 2, 2], votes={"judge": 3})
    lost = Trial(**{**vars(lost), "votes": {"judge": 5}})
    (made,) = compare(first, [lost, *kept])
    assert made.sizes is not None and made.sizes.pairs == 3
    assert made.confirmed is not None and (made.confirmed.pairs, made.confirmed.value) == (2, pytest.approx(2))


def test_without_judges_nothing_is_confirmed() -> None:
    (made,) = compare(trials("a", [1]), trials("b", [1]))
    assert made.confirmed is None


def test_a_spent_budget_has_rates_and_no_sizes() -> None:
    key = "tiny:layer1,budget=2,search=worst"
    (made,) = compare(trials("a", [2, None], key), trials("b", [2, 2], key))
    assert made.sizes is None and made.rates.only_second == 1


def test_p_is_adjusted_for_all_tests_of_the_table() -> None:
    keys = [f"tiny:layer{number}" for number in range(5)]
    first = [t for key in keys for t in trials("a", [1] * 8, key)]
    second = [t for key in keys for t in trials("b", [2] * 8, key)]
    made = compare(first, second, order=keys)
    assert [c.perturbation for c in made] == keys
    assert all(c.sizes and c.sizes_p == pytest.approx(min(1, 10 * c.sizes.p)) for c in made[:1])


def test_worse_is_certain_only_beyond_chance() -> None:
    many = compare(trials("a", [2] * 40), trials("b", [1] * 40))
    few = compare(trials("a", [2] * 3), trials("b", [1] * 3))
    assert [len(message) for message in regressions(many, 10)] == [1, 0]
    assert [len(message) for message in regressions(few, 10)] == [0, 1]
    assert regressions(many, 60) == ([], [])  # half the size is worse by 50 %, not by 60
    assert regressions(compare(trials("a", [1] * 40), trials("b", [2] * 40)), 0) == ([], [])


def test_a_higher_found_rate_is_worse() -> None:
    made = compare(trials("a", [None] * 30 + [5] * 10), trials("b", [5] * 40))
    certain, _ = regressions(made, 50)
    assert "found on 75 more images of a hundred (p < 0.001)" in certain[0]


def test_two_classifiers_of_one_run(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", trials("zoo:a", [1] * 20), trials("zoo:b", [2] * 20))
    result = granu(run)
    assert result.exit_code == 0 and "2.00 [2.00–2.00]" in result.output and "zoo:b in" in result.output
    back = granu(run, "--classifier", "zoo:b", "--versus", "zoo:a", "--fail-if-worse", 10)
    assert back.exit_code == 1 and "worse: tiny:layer1: sizes are smaller by 50 %" in back.output


def test_two_runs_of_one_classifier_each(tmp_path: Path) -> None:
    before = run_of(tmp_path / "before", trials("zoo:a", [2] * 20))
    after = run_of(tmp_path / "after", trials("zoo:a", [1] * 20))
    assert granu(before, after).exit_code == 0
    assert granu(before, after, "--fail-if-worse", 10).exit_code == 1
    assert granu(after, before, "--fail-if-worse", 10).exit_code == 0


def test_both_can_be_drawn_though_they_have_one_name(tmp_path: Path) -> None:
    before = run_of(tmp_path / "before", trials("zoo:a", [2] * 20))
    after = run_of(tmp_path / "after", trials("zoo:a", [1] * 20))
    assert granu(before, after, "--figure", tmp_path / "ratio.svg").exit_code == 0
    assert (tmp_path / "ratio.svg").read_text().startswith("<?xml")


def test_json_holds_no_infinity(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", trials("zoo:a", [1] * 20), trials("zoo:b", [None] * 20))
    result = granu(run, "--json")
    (message,) = json.loads(result.output, parse_constant=pytest.fail)["comparisons"]
    assert message["sizes"]["value"] == "inf" and message["sizes"]["above"] == 20


def test_a_change_that_one_was_not_measured_under_is_told(tmp_path: Path) -> None:
    run = run_of(
        tmp_path / "run", trials("zoo:a", [1]), trials("zoo:b", [1]), trials("zoo:b", [1], perturbation="tiny:image")
    )
    assert "tiny:image was measured for one of the two only" in granu(run).output


@pytest.mark.parametrize(
    ("identity", "message"), [({"seed": 1}, "seed 0 against 1"), ({"data": "folder:val"}, "None against folder:val")]
)
def test_runs_on_other_images_are_refused(tmp_path: Path, identity: dict[str, Any], message: str) -> None:
    one, other = run_of(tmp_path / "a", trials("c", [1])), run_of(tmp_path / "b", trials("c", [1]), **identity)
    problem = granu(one, other).exception
    assert isinstance(problem, GranuError) and message in str(problem)


def test_what_other_judges_confirmed_is_not_compared(tmp_path: Path) -> None:
    one = run_of(tmp_path / "a", trials("zoo:c", [1] * 9, votes={"x": 3}), judges=["x"])
    other = run_of(tmp_path / "b", trials("zoo:c", [1] * 9, votes={"y": 3}), judges=["y"])
    assert "other judges voted in the two runs" in granu(one, other).output
    (message,) = json.loads(granu(one, other, "--json").output)["comparisons"]
    assert message["confirmed"] is None and message["sizes"]["pairs"] == 9


def test_runs_with_other_generator_weights_are_refused(tmp_path: Path) -> None:
    folders = []
    for name in ("a", "b"):
        folders.append(run_of(tmp_path / name, trials("zoo:c", [1])))
        with open_run(folders[-1], {"seed": 0, "data": None, "judges": []}) as run:
            plan = {"spec": "tiny:layer1", "sites": [{"name": "layer1"}], "options": {"weights": "zoo/digits"}}
            run.amend(plan={"perturbations": [plan]}, weights={"zoo/digits": name * 64, "zoo/c": "c" * 64})
    problem = granu(*folders).exception
    assert isinstance(problem, GranuError) and "other weights of the generator in tiny:layer1" in str(problem)


def test_mistakes_are_told_with_their_cure(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", trials("zoo:cnn", [1]), trials("zoo:l2", [1]), trials("zoo:linf", [1]))
    alone = run_of(tmp_path / "alone", trials("zoo:cnn", [1]))
    other = run_of(tmp_path / "other", trials("zoo:cnn", [1], perturbation="tiny:image"))
    empty = run_of(tmp_path / "empty")
    for words, message in [
        ((run, "--classifier", "zoo:ccn"), "did you mean 'zoo:cnn'?"),
        ((run,), "say with --classifier"),
        ((run, "--classifier", "zoo:cnn"), "say with --versus"),
        ((run, "--classifier", "zoo:cnn", "--versus", "zoo:cnn"), "cannot be compared with itself"),
        ((alone,), "no other classifier than zoo:cnn"),
        ((alone, empty), "holds no trials yet"),
        ((alone, other), "share no perturbation"),
        ((alone, tmp_path / "nowhere"), "is no run"),
        ((alone, alone, alone), "3 runs are too many"),
    ]:
        problem = granu(*words).exception
        assert isinstance(problem, GranuError) and message in str(problem), words
