"""`granu compare` and `granu.compare`: pairs by image, refuses what has no pairs."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from making_runs import TINY, perturbation, run_of, spending, write
from typer.testing import CliRunner, Result

from granu.cli import app
from granu.errors import GranuError, RunFolderError
from granu.report.comparison import Comparison, compare
from granu.report.pairing import MeasuredClassifier, merged
from granu.report.present import compare_runs
from granu.report.rows import rows
from granu.runs.records import GeneratorRecord, PerturbationRecord, SourceRecord
from granu.runs.run import Run
from granu.runs.trials import CLASSIFIER, CLEAN_WRONG, FOUND, NOT_FOUND, Trial


def trials(
    classifier: str, sizes: Sequence[float | None], perturbation: str = "tiny:layer1", **more: Any
) -> list[Trial]:
    """One image per size; None was not found, though searched up to 10."""
    return [
        Trial(
            f"tiny#{number}", perturbation, classifier, NOT_FOUND if size is None else FOUND,
            label=3, unit="sigma (RMS)", size=size, tried=10.0, **more,
        )
        for number, size in enumerate(sizes)
    ]  # fmt: skip


def compared(
    first: list[Trial], second: list[Trial], *records: PerturbationRecord, judges: tuple[str, ...] = ()
) -> list[Comparison]:
    """Classifiers "a" and "b" of one run."""
    run = run_of([*first, *second], *records, judges=judges)
    return compare(MeasuredClassifier(run, "a"), MeasuredClassifier(run, "b"))


def granu(*words: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def test_pairs_are_made_by_image_and_not_by_position() -> None:
    first, second = trials("a", [1, 2, 4, 8]), trials("b", [2, 4, 8, 16])
    (made,) = compared(first, second[::-1])
    assert made.sizes is not None and made.sizes.value == pytest.approx(2) and made.images == 4
    assert made.sizes.low == made.sizes.high == pytest.approx(2)


def test_a_comparison_does_not_depend_on_the_order_of_trials() -> None:
    first, second = trials("a", [1, 2, 4, 8, 3]), trials("b", [3, 1, 8, 9, 4])
    assert compared(first, second) == compared(first[::-1], second)


@pytest.mark.parametrize("wrong", ["a", "b"])
def test_an_image_that_one_of_them_misclassifies_is_left_out(wrong: str) -> None:
    measured = [*trials("a", [1, 1, 1]), *trials("b", [3, 1, 3])]
    clean_wrong = Trial("tiny#1", "tiny:layer1", wrong, CLEAN_WRONG, label=3)
    (made,) = compared([t for t in measured if t.key != clean_wrong.key], [clean_wrong], perturbation("tiny:layer1"))
    assert (made.images, made.left_out) == (2, 1)
    assert made.sizes is not None and made.sizes.value == pytest.approx(3)


def test_rates_are_shares_of_the_shared_images() -> None:
    (made,) = compared(trials("a", [1, 1, None, None]), trials("b", [1, None, None, None]))
    assert (made.first_found, made.second_found, made.rates.value) == (0.5, 0.25, -0.25)


def test_the_confirmed_ratio_leaves_out_pairs_in_which_a_label_was_lost() -> None:
    first = trials("a", [1, 1, 1], votes={"judge": 3})
    lost, *kept = trials("b", [9, 2, 2], votes={"judge": 3})
    (made,) = compared(first, [replace(lost, votes={"judge": 5}), *kept], judges=("judge",))
    assert made.sizes is not None and made.sizes.pairs == 3
    assert made.confirmed is not None and (made.confirmed.pairs, made.confirmed.value) == (2, pytest.approx(2))


def test_without_judges_nothing_is_confirmed() -> None:
    (made,) = compared(trials("a", [1]), trials("b", [1]))
    assert made.confirmed is None and made.same_judges


def test_a_classifier_that_judges_the_other_has_other_judges() -> None:
    """b judges a but not itself, so what is confirmed of the two is not the same."""
    first, second = trials("a", [1], votes={"b": 3, "j": 3}), trials("b", [1], votes={"j": 3})
    (made,) = compared(first, second, judges=("b", "j"))
    assert made.confirmed is None and not made.same_judges and made.sizes is not None


def test_changes_inside_the_classifier_have_sizes_and_nothing_confirmed() -> None:
    (made,) = compared(
        trials("a", [1] * 9, evidence=CLASSIFIER), trials("b", [2] * 9, evidence=CLASSIFIER), judges=("j",)
    )
    assert made.sizes is not None and made.sizes.value == pytest.approx(2) and made.confirmed is None


def test_a_spent_budget_has_rates_and_no_sizes() -> None:
    key = "tiny:layer1,budget=8/255,search=worst"
    (made,) = compared(trials("a", [2, None], key), trials("b", [2, 2], key), spending(key, 8 / 255))
    assert made.sizes is None and made.rates.only_second == 1


def test_p_is_adjusted_for_all_tests_of_the_table() -> None:
    keys = [f"tiny:layer{number}" for number in (3, 1, 2)]
    first = [t for key in sorted(keys) for t in trials("a", [1] * 8, key)]
    second = [t for key in sorted(keys) for t in trials("b", [2] * 8, key)]
    made = compared(first, second, *map(perturbation, keys))
    assert [c.perturbation for c in made] == keys  # the order of the records
    assert [c.sizes_p for c in made] == pytest.approx([6 / 128] * 3)  # 2 / 2^8, times three rates and three sizes
    assert [c.rates_p for c in made] == [1, 1, 1]


def test_two_classifiers_of_one_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_of([*trials("zoo:a", [1] * 20), *trials("zoo:b", [2] * 20)], folder=run)
    result = granu(run)
    assert result.exit_code == 0
    assert result.output.splitlines()[:3] == [f"first:  zoo:a in {run}", f"second: zoo:b in {run}", ""]
    line = next(line for line in result.output.splitlines() if "tiny:layer1" in line)
    assert re.split(r"   +", line.strip()) == [
        "tiny:layer1", "20", "0", "100", "100", "+0.0 [-8.9, +8.9]", "1.000", "2.00 [2.00–2.00]", "< 0.001", "–", "–",
    ]  # fmt: skip
    back = granu(run, "--classifier", "zoo:b", "--versus", "zoo:a", "--fail-if-worse", 10)
    assert back.exit_code == 4 and "  tiny:layer1: sizes are smaller by 50 % (p < 0.001)" in back.output


def test_two_runs_of_one_classifier_each(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    run_of(trials("zoo:a", [2] * 20), folder=before)
    run_of(trials("zoo:a", [1] * 20), folder=after)
    assert granu(before, after).exit_code == 0
    assert granu(before, after, "--fail-if-worse", 10).exit_code == 4
    assert granu(after, before, "--fail-if-worse", 10).exit_code == 0
    assert granu(before, after, "--figure", tmp_path / "ratio.svg").exit_code == 0
    assert (tmp_path / "ratio.svg").read_text().startswith("<?xml")


def test_json_holds_flat_records_without_infinity(tmp_path: Path) -> None:
    key = "tiny:image"
    run_of(
        [*trials("a", [1] * 20), *trials("b", [None] * 20), *trials("a", [1], key), *trials("b", [1], key)],
        spending(key, 2.0), folder=tmp_path / "run",
    )  # fmt: skip
    data = json.loads(granu(tmp_path / "run", "--json", "--fail-if-worse", 5).output, parse_constant=pytest.fail)
    assert data["first"] == {"run": str(tmp_path / "run"), "classifier": "a"} and data["second"]["classifier"] == "b"
    spent, sized = data["comparisons"]
    assert sized["perturbation"] == "tiny:layer1" and sized["unit"] == "sigma (RMS)"
    assert (sized["images"], sized["left_out"], sized["first_found"], sized["second_found"]) == (20, 0, 1.0, 0.0)
    assert (sized["difference"], sized["only_first"], sized["only_second"]) == (-1.0, 20, 0)
    assert sized["difference_low"] < -0.8 and -0.8 < sized["difference_high"] < -0.6 and sized["difference_p"] < 1e-4
    assert (sized["ratio"], sized["ratio_low"], sized["ratio_high"]) == ("inf",) * 3
    assert [sized[f"ratio_{name}"] for name in ("pairs", "above", "below", "undecided")] == [20, 20, 0, 0]
    assert sized["ratio_p"] == pytest.approx(3 / 2**19) and sized["confirmed_ratio"] is None
    assert spent["ratio"] is spent["ratio_p"] is spent["ratio_pairs"] is None and spent["difference"] == 0
    assert data["gate"]["margin_percent"] == 5 and not data["gate"]["passed"]
    assert data["gate"]["reasons"] == ["tiny:image: both classify 1 images correctly; a verdict needs at least 7"]


def test_the_result_in_python_is_what_the_command_prints(tmp_path: Path) -> None:
    run = run_of(
        [*trials("a", [1] * 9, votes={"j": 3}), *trials("b", [2] * 9, votes={"j": 3})], judges=("j",),
        folder=tmp_path / "run",
    )  # fmt: skip
    result = compare_runs([run])
    assert granu(tmp_path / "run").output == result.table() + "\n"
    (record,) = result.to_dicts()
    assert record["difference_p"] == 1 and record["ratio_p"] == pytest.approx(2 * 2 / 2**9)  # of two tests
    assert (record["confirmed_ratio"], record["confirmed_ratio_pairs"]) == (pytest.approx(2), 9)
    cells = [unescape(cell) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", result._repr_html_())]
    assert cells == list(result.lines()[0]) and cells[7] == "2.00 [2.00–2.00]"
    assert repr(result) == f"CompareResult(a in {run}, b in {run}, perturbations=1)"
    assert result.figure().axes[1].get_ylabel() == "ratio of sizes\nto a"


def test_a_comparison_of_nothing_shared_has_no_shares() -> None:
    wrong = [Trial("tiny#0", "tiny:layer1", name, CLEAN_WRONG, label=3) for name in ("a", "b")]
    result = compare_runs([run_of(wrong)])
    (record,) = result.to_dicts()
    assert math.isnan(result.comparisons[0].first_found) and record["first_found"] is record["second_found"] is None
    assert result.lines()[0][1:5] == ("0", "1", "–", "–")


def test_a_perturbation_that_only_one_was_measured_under_is_noted() -> None:
    run = run_of([*trials("a", [1]), *trials("b", [1]), *trials("b", [1], perturbation="tiny:image")])
    assert "note: tiny:image was measured for one of the two only" in compare_runs([run]).table()


SOURCE = SourceRecord("folder:val", "dataset")


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"source": SOURCE}, r"under tiny:image \(images of tiny against folder:val\)"),
        (
            {"generator": GeneratorRecord("auto", "b2", "steps 25")},
            r"under tiny:image \(the generator auto that encodes them differs: its weights or options",
        ),
        ({"source": replace(TINY, fingerprint="b2")}, r"under tiny:image \(the generator tiny differs: its weights"),
    ],
)
def test_runs_on_other_images_are_refused(changes: dict[str, Any], difference: str) -> None:
    measured = [*trials("c", [1]), *trials("c", [1], perturbation="tiny:image")]
    one, other = run_of(measured), run_of(measured, perturbation("tiny:image", **changes))
    with pytest.raises(RunFolderError, match=difference + ".*; a paired comparison needs the same ones"):
        compare_runs([one, other])


def test_runs_with_other_seeds_are_refused(tmp_path: Path) -> None:
    run_of(trials("c", [1]), folder=tmp_path / "one")
    run_of(trials("c", [1]), folder=tmp_path / "other", seed=1)
    problem = granu(tmp_path / "one", tmp_path / "other").exception
    assert isinstance(problem, RunFolderError) and "different images (seed 0 against 1)" in str(problem)


def test_an_image_that_changed_under_its_name_is_refused() -> None:
    record = perturbation("tiny:layer1", source=SOURCE)
    one = run_of(trials("c", [1, 1], image_hash="aa"), record)
    other = run_of([*trials("c", [1], image_hash="aa"), replace(trials("c", [1, 1])[1], image_hash="bb")], record)
    with pytest.raises(RunFolderError, match=r"under tiny:layer1 \(the image 'tiny#1' of folder:val differs\)"):
        compare_runs([one, other])
    one.trials = [replace(trial, image_hash=None) for trial in one.trials]
    assert compare_runs([one, other]).comparisons[0].images == 2


def test_perturbations_that_only_one_run_has_need_not_agree() -> None:
    one = run_of([*trials("c", [1])], perturbation("tiny:layer1"), perturbation("pixel:l2", source=TINY))
    other = run_of([*trials("c", [1]), *trials("c", [1], "pixel:l2")], perturbation("pixel:l2", source=SOURCE))
    assert len(compare_runs([one, other]).comparisons) == 1


def test_what_other_judges_confirmed_is_not_compared() -> None:
    def measured(judge: str) -> Run:
        same = trials("c", [1] * 9, "tiny:image", votes={"x": 3})
        other = trials("c", [1] * 9, votes={judge: 3})
        return run_of(
            [*same, *other], perturbation("tiny:image", judges=("x",)), perturbation("tiny:layer1", judges=(judge,))
        )

    result = compare_runs([measured("x"), measured("y")])
    image, layer = result.comparisons
    assert image.confirmed is not None and image.confirmed.pairs == 9
    assert layer.confirmed is None and layer.sizes is not None and layer.sizes.pairs == 9
    assert "note: the judges differ, so confirmed sizes are not compared: tiny:layer1" in result.table()


def test_merged_runs_keep_judges_only_where_they_agree() -> None:
    key = "tiny:layer1"

    def side(name: str, judges: tuple[str, ...]) -> MeasuredClassifier:
        votes = {judge: 3 for judge in judges if judge != name}
        return MeasuredClassifier(run_of(trials(name, [1] * 9, votes=votes), judges=judges), name)

    for first, second, judges in [
        (side("a", ("j",)), side("b", ("j",)), {"j"}),
        (side("a", ("a", "j")), side("b", ("j",)), {"j"}),
        (side("a", ("a", "j")), side("a", ("a", "j")), {"j"}),
        (side("a", ("j",)), side("a", ("k",)), set()),
    ]:
        run = merged(first, second)
        assert set(run.record.perturbations[key].judges) == judges
        assert [row.confirmed is not None for row in rows(run)] == [bool(judges)] * 2
        assert len({row.classifier for row in rows(run)}) == 2


def test_mistakes_are_reported_with_their_remedy(tmp_path: Path) -> None:
    run, alone, other, empty = (tmp_path / name for name in ("run", "alone", "other", "empty"))
    run_of([*trials("zoo:cnn", [1]), *trials("zoo:l2", [1]), *trials("zoo:linf", [1])], folder=run)
    run_of(trials("zoo:cnn", [1]), folder=alone)
    run_of(trials("zoo:cnn", [1], perturbation="tiny:image"), folder=other)
    write(run_of([], folder=empty))
    for words, sentence in [
        ((run, "--classifier", "zoo:ccn"), "did you mean 'zoo:cnn'?"),
        ((run,), "say with --classifier"),
        ((run, "--classifier", "zoo:cnn"), "holds zoo:l2, zoo:linf; say with --versus"),
        ((run, "--classifier", "zoo:cnn", "--versus", "zoo:cnn"), "cannot be compared with itself"),
        ((alone,), "no other classifier than zoo:cnn"),
        ((alone, empty), "holds no trials yet"),
        ((alone, other), "share no perturbation"),
        ((alone, tmp_path / "nowhere"), "is no run"),
        ((alone, alone, alone), "3 runs are too many"),
    ]:
        problem = granu(*words).exception
        assert isinstance(problem, GranuError) and sentence in str(problem), words


def test_a_trial_without_a_record_is_refused() -> None:
    run = run_of([*trials("a", [1]), *trials("b", [1])])
    del run.record.perturbations["tiny:layer1"]
    with pytest.raises(RunFolderError, match=r"run\.json has no record of the perturbation 'tiny:layer1'"):
        compare_runs([run])
