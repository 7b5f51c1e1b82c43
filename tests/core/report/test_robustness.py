"""Robust accuracy over attacks: each, their union and mean, paired by image, and what is left out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from making_runs import perturbation, run_of, spending
from typer.testing import CliRunner

from granu.cli import app
from granu.report.benchmark import benchmarks
from granu.report.page import page
from granu.report.present import table_markdown, table_text
from granu.report.robustness import Robustness, robustness
from granu.report.rows import rows
from granu.report.statistics import rate
from granu.runs.run import Run
from granu.runs.trials import CLEAN_WRONG, FAILED, FOUND, NOT_FOUND, UNREADABLE, Trial

WARP, COLOUR, NOISE = "spatial:search=worst", "recolor:search=worst", "pixel:linf"
RECORDS = tuple(spending(key, 0.1, unit="share") for key in (WARP, COLOUR, NOISE))
LETTERS = {"h": NOT_FOUND, "b": FOUND, "w": CLEAN_WRONG, "f": FAILED, "u": UNREADABLE}


def trials(key: str, letters: str, classifier: str = "zoo:a") -> list[Trial]:
    """A trial per letter: h holds, b breaks, w was wrong before, f failed, u is unreadable, - was not measured."""
    return [
        Trial(f"p{number}", key, classifier, LETTERS[letter], label=0, tried=0.1)
        for number, letter in enumerate(letters)
        if letter != "-"
    ]


def run(warp: str = "hhbwhh", colour: str = "hbhwhh", noise: str = "hhbwbh", **more: Path) -> Run:
    return run_of([*trials(WARP, warp), *trials(COLOUR, colour), *trials(NOISE, noise)], *RECORDS, **more)


def only(of: Run) -> Robustness:
    (one,) = robustness(of, rows(of))
    return one


def test_an_image_holds_under_the_union_if_it_holds_under_all() -> None:
    one = only(run())
    assert one.union.images == 6 and one.union.value == pytest.approx(2 / 6)  # p0 and p5
    assert (one.union.low, one.union.high) == pytest.approx((rate(2, 6).low, rate(2, 6).high))
    assert one.mean.value == pytest.approx((4 + 4 + 3) / 18)
    assert one.mean.low < one.mean.value < one.mean.high
    assert one.by_attack == pytest.approx({WARP: 4 / 6, COLOUR: 4 / 6, NOISE: 3 / 6})
    assert (one.left_out, one.left_out_fooled) == (0, 0)


def test_images_that_not_every_attack_ran_on_are_left_out_and_counted() -> None:
    one = only(run(warp="hhbwfh", colour="hbhwhf", noise="-hbwbh"))
    assert one.union.images == 3 and one.union.value == 0  # p1, p2 and p3
    assert one.by_attack == pytest.approx({WARP: 1 / 3, COLOUR: 1 / 3, NOISE: 1 / 3})
    assert (one.left_out, one.left_out_fooled) == (3, 1)  # p0, p4 and p5, of which noise breaks p4
    assert "left out of these are 3 images" in table_text(run("hhbwfh", "hbhwhf", "-hbwbh"))


def test_one_that_cannot_be_read_is_left_out() -> None:
    one = only(run(warp="uhbwhh", colour="ubhwhh", noise="uhbwbh"))
    assert one.union.images == 5 and one.left_out == 1


def test_nothing_is_said_without_two_spaces_of_attacks() -> None:
    alone = run_of(trials(WARP, "hb"), *RECORDS)
    assert robustness(alone, rows(alone)) == []
    control = perturbation("jpeg:x", search="random", budget=0.1)
    beside = run_of([*trials(WARP, "hb"), *trials("jpeg:x", "hh")], *RECORDS, control)
    assert robustness(beside, rows(beside)) == []
    sized = run_of([*trials(WARP, "hb"), *trials("style:hue", "hh")], *RECORDS)  # search=smallest
    assert robustness(sized, rows(sized)) == []
    twice = spending("spatial:again", 0.2, name="spatial", target="search=worst")
    again = run_of([*trials(WARP, "hb"), *trials("spatial:again", "hh")], *RECORDS, twice)
    assert robustness(again, rows(again)) == []


def test_attacks_of_one_name_are_no_benchmark_of_fixed_sizes() -> None:
    two = spending("pixel:l2", 1.0)
    both = run_of([*trials(NOISE, "hb"), *trials("pixel:l2", "hh")], *RECORDS, two)
    assert benchmarks(both, rows(both)) == [] and len(robustness(both, rows(both))) == 1


def test_attacks_on_other_images_have_no_union() -> None:
    elsewhere = [Trial("other", NOISE, "zoo:a", FOUND, label=0)]
    apart = run_of([*trials(WARP, "hb"), *elsewhere], *RECORDS)
    assert robustness(apart, rows(apart)) == []


def test_each_classifier_has_its_own() -> None:
    both = run_of(
        [
            t
            for name, letters in (("zoo:a", "hb"), ("zoo:b", "hh"))
            for key in (WARP, NOISE)
            for t in trials(key, letters, name)
        ],
        *RECORDS,
    )
    assert [(one.classifier, one.union.value) for one in robustness(both, rows(both))] == [("zoo:a", 0.5), ("zoo:b", 1)]


def test_a_row_has_the_accuracy_of_its_attack() -> None:
    shown = {row.perturbation: row.accuracy for row in rows(run(warp="hhbwfh"))}
    assert shown[WARP] is not None and shown[WARP].value == pytest.approx(3 / 5)  # the failed one is not counted
    assert shown[NOISE] is not None and shown[NOISE].value == pytest.approx(3 / 6)


SENTENCE = "zoo:a: robust accuracy 33.3 [9.7–70.0] % under the union of 3 attacks, 61.1"


def test_the_sentences_stand_in_table_markdown_and_page() -> None:
    assert SENTENCE in table_text(run())
    assert "lowest 50.0 % under pixel:linf (6 images, misclassified ones included)" in table_text(run())
    assert "under the union of 3 attacks" in table_markdown(run())
    assert SENTENCE in page(run())


def test_json_and_csv_have_them(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder=folder)
    done = CliRunner().invoke(app, ["report", str(folder), "--csv", str(tmp_path / "rows.csv"), "--json"])
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.output)["robustness"]
    assert one["union"]["value"] == pytest.approx(2 / 6) and one["by_attack"][NOISE] == pytest.approx(0.5)
    with (tmp_path / "rows.csv").open() as file:
        lines = {line["perturbation"]: line for line in csv.DictReader(file)}
    assert list(lines)[-2:] == ["union of 3 attacks", "mean of 3 attacks"]
    assert float(lines["union of 3 attacks"]["accuracy"]) == pytest.approx(2 / 6)
    assert float(lines["mean of 3 attacks"]["accuracy"]) == pytest.approx(11 / 18)
    assert lines["union of 3 attacks"]["counted"] == "6" and lines["union of 3 attacks"]["size"] == ""
