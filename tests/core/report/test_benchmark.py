"""Accuracy under fixed sizes: over all images read, its mean over perturbations, and errors relative to another."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from making_runs import perturbation, run_of
from typer.testing import CliRunner

from granu.cli import app
from granu.errors import GranuError
from granu.report.benchmark import Benchmark, accuracy, benchmarks, fixed_sizes, score
from granu.report.formatting import listed, mean_share
from granu.report.health import check
from granu.report.page import page
from granu.report.present import rows_as_dicts, table_text
from granu.report.rows import rows
from granu.report.statistics import mean, rate
from granu.runs.run import Run
from granu.runs.trials import CLEAN_WRONG, FOUND, NOT_FOUND, UNREADABLE, Trial

FOG, SNOW = "corruption:fog,severity=1+3", "corruption:snow,severity=1+3"
NOTE = "made in memory"
RECORDS = tuple(perturbation(key, search=None, unit="severity", note=NOTE) for key in (FOG, SNOW))


def trial(number: int, key: str, right: str, classifier: str = "zoo:a", **more: object) -> Trial:
    """A trial at severities 1 and 3; `right` has a letter per severity, `y` where the label 0 was predicted."""
    levels = {size: 0 if letter == "y" else 1 for size, letter in zip(("1", "3"), right, strict=True)}
    outcome = NOT_FOUND if right == "yy" else FOUND
    size = None if right == "yy" else 1.0 if right[0] == "n" else 3.0
    fields = {"label": 0, "unit": "severity", "size": size, "tried": 3.0, "levels": levels} | more
    return Trial(f"p{number}", key, classifier, outcome, **fields)  # type: ignore[arg-type]


def wrong(number: int, key: str, classifier: str = "zoo:a") -> Trial:
    return Trial(f"p{number}", key, classifier, CLEAN_WRONG, label=0)


def mixed() -> Run:
    """Four images; fog: 1, 1/2, 0 and misclassified, snow: 1, 1, 1/2 and misclassified."""
    fog = [trial(0, FOG, "yy"), trial(1, FOG, "yn"), trial(2, FOG, "nn"), wrong(3, FOG)]
    snow = [trial(0, SNOW, "yy"), trial(1, SNOW, "yy"), trial(2, SNOW, "yn"), wrong(3, SNOW)]
    return run_of([*fog, *snow], *RECORDS)


def with_reference() -> Run:
    """The same for zoo:b, whose errors under fog sum to 1 and under snow to 2."""
    fog = [trial(0, FOG, "yy", "zoo:b"), trial(1, FOG, "yy", "zoo:b"), trial(2, FOG, "nn", "zoo:b")]
    snow = [trial(0, SNOW, "yn", "zoo:b"), trial(1, SNOW, "yn", "zoo:b"), trial(2, SNOW, "nn", "zoo:b")]
    ends = [trial(3, FOG, "yy", "zoo:b"), trial(3, SNOW, "yy", "zoo:b")]
    return run_of([*mixed().trials, *fog, *snow, *ends], *RECORDS)


def only(run: Run, reference: str | None = None, classifier: str = "zoo:a") -> Benchmark:
    (one,) = [b for b in benchmarks(run, rows(run), reference) if b.classifier == classifier]
    return one


def test_an_image_scores_the_share_of_sizes_at_which_it_is_right() -> None:
    assert [score(trial(0, FOG, right)) for right in ("yy", "yn", "ny", "nn")] == [1, 0.5, 0.5, 0]
    assert score(wrong(0, FOG)) == 0
    assert (
        score(Trial("p", FOG, "zoo:a", UNREADABLE)) is None and score(Trial("p", FOG, "zoo:a", FOUND, label=0)) is None
    )
    assert score(trial(0, FOG, "yy", levels={"1": 0, "3": -1}, label=0)) == 0.5  # what cannot be judged is not right


def test_a_row_counts_misclassified_images_as_wrong_and_leaves_unreadable_ones_out() -> None:
    fog = [t for t in mixed().trials if t.perturbation == FOG]
    unreadable = Trial("p9", FOG, "zoo:a", UNREADABLE)
    (row,) = rows(run_of([*fog, unreadable], *RECORDS))
    assert row.levels == (1, 3) and row.accuracy is not None
    assert (row.accuracy.value, row.accuracy.images) == (1.5 / 4, 4)
    assert (row.found.hits, row.found.total) == (2, 3)  # of those classified correctly
    assert row.size is not None and row.size.value == 3.0
    (record,) = rows_as_dicts(run_of(fog, *RECORDS))
    assert record["levels"] == "1 3" and record["accuracy"] == 1.5 / 4
    assert (record["accuracy_low"], record["accuracy_high"]) == (row.accuracy.low, row.accuracy.high)


def test_without_fixed_sizes_there_is_no_accuracy() -> None:
    searched = [Trial("p0", "tiny:z", "zoo:a", FOUND, size=1.0), wrong(1, "tiny:z")]
    assert accuracy(searched) is None and fixed_sizes(searched) == ()
    (row,) = rows(run_of(searched))
    assert row.accuracy is None and row.levels == ()
    assert "accuracy" not in table_text(run_of(searched))


def test_one_fixed_size_is_no_median() -> None:
    one = [trial(n, FOG, "yy", levels={"3": 0}) for n in range(3)]
    text = table_text(run_of(one, *RECORDS))
    assert "at 3 " in text and "> 3.00" not in text and "accuracy %" in text and "mean accuracy" not in text


def test_the_mean_weighs_perturbations_and_sizes_alike() -> None:
    one = only(mixed())
    assert (one.name, one.levels, one.unit) == ("corruption", (1, 3), "severity")
    assert one.accuracy.value == (1.5 / 4 + 2.5 / 4) / 2 and one.accuracy.images == 4
    assert one.by_perturbation == {FOG: 1.5 / 4, SNOW: 2.5 / 4} and one.by_level == {1: 5 / 8, 3: 3 / 8}
    assert one.relative is None and one.lines() == [
        f"zoo:a: mean accuracy 50.0 % [{100 * one.accuracy.low:.1f}–{100 * one.accuracy.high:.1f}] over 2 "
        "perturbations of corruption, severity 1 and 3 (4 images, misclassified ones included)"
    ]


def test_images_that_one_perturbation_lacks_do_not_enter_the_mean() -> None:
    run = mixed()
    run.trials.append(trial(7, FOG, "nn"))
    assert only(run).accuracy.images == 4 and only(run).accuracy.value == 0.5


def test_perturbations_at_other_sizes_are_another_benchmark() -> None:
    run = mixed()
    other = [f"corruption:{name},severity=1" for name in ("fog", "snow")]
    for key in other:
        run.record.perturbations[key] = perturbation(key, search=None, unit="severity")
        run.trials.append(trial(0, key, "nn", levels={"1": 1}))
    assert [b.levels for b in benchmarks(run, rows(run))] == [(1, 3), (1,)]
    single = run_of([trial(0, FOG, "yy")], *RECORDS)
    assert benchmarks(single, rows(single)) == []


def test_the_relative_error_is_the_mean_of_ratios() -> None:
    relative = only(with_reference(), "zoo:b").relative
    assert relative is not None and relative.reference == "zoo:b" and relative.images == 4
    assert relative.value == pytest.approx((2.5 / 1 + 1.5 / 2) / 2)
    assert relative.low is not None and relative.high is not None and relative.low < relative.value < relative.high
    assert only(with_reference(), "zoo:b", "zoo:b").relative is None
    same = only(with_reference(), "zoo:a", "zoo:b").relative
    assert same is not None and same.value == pytest.approx((1 / 2.5 + 2 / 1.5) / 2)


def test_perturbations_without_a_reference_error_are_left_out_and_named() -> None:
    run = with_reference()
    run.trials[:] = [t for t in run.trials if (t.classifier, t.perturbation) != ("zoo:b", FOG)]
    run.trials += [trial(n, FOG, "yy", "zoo:b") for n in range(4)]
    one = only(run, "zoo:b")
    assert one.relative is not None and one.relative.value == pytest.approx(1.5 / 2) and one.relative.without == (FOG,)
    assert one.lines()[1].endswith(f"; left out, since it makes no error there: {FOG}")
    run.trials[:] = [t for t in run.trials if t.classifier != "zoo:b"]
    run.trials += [trial(n, key, "yy", "zoo:b") for n in range(4) for key in (FOG, SNOW)]
    nothing = only(run, "zoo:b")
    assert nothing.relative is not None and nothing.relative.value is None
    assert "which makes none or shares no images" in nothing.lines()[1]


def test_only_images_that_both_have_count_in_the_relative_error() -> None:
    run = with_reference()
    run.trials[:] = [t for t in run.trials if not (t.classifier == "zoo:b" and t.image == "p2")]
    relative = only(run, "zoo:b").relative  # zoo:b has no error under fog now, and half an error twice under snow
    assert relative is not None and relative.images == 3 and relative.without == (FOG,)
    assert relative.value == pytest.approx(1 / 1)


def test_an_unknown_reference_is_one_sentence() -> None:
    run = with_reference()
    with pytest.raises(GranuError, match=r"holds no results of 'zoo:c'; did you mean 'zoo:[ab]'"):
        benchmarks(run, rows(run), "zoo:c")


def test_means_of_shares_have_the_interval_of_rates_or_a_narrower_one() -> None:
    for hits in (0, 3, 10):
        binary, wilson = mean([1.0] * hits + [0.0] * (10 - hits)), rate(hits, 10)
        assert (binary.value, binary.images) == (wilson.value, 10)
        assert binary.low == pytest.approx(wilson.low, abs=1e-9) and binary.high == pytest.approx(wilson.high, abs=1e-9)
    halves = mean([0.4, 0.6] * 5)
    assert halves.value == 0.5 and halves.high - halves.low < 0.5 * (mean([0.0, 1.0] * 5).high - 0.5) * 2
    assert mean([0.5] * 10).high == pytest.approx(rate(5, 10).high)
    assert math.isnan(mean([]).value) and mean_share(mean([])) == "–" and mean_share(None) == "–"


def test_its_interval_covers_the_mean_of_a_population() -> None:
    import numpy as np

    random, covered = np.random.default_rng(0), 0
    for _ in range(400):
        sample = mean((random.binomial(5, random.beta(2, 1, size=40)) / 5).tolist())
        covered += sample.low <= 2 / 3 <= sample.high
    assert 0.92 <= covered / 400 <= 0.985


def test_words_are_listed() -> None:
    assert [listed(words) for words in (["1"], ["1", "3"], ["1", "3", "5"])] == ["1", "1 and 3", "1, 3 and 5"]


def test_that_nothing_fools_at_a_fixed_size_is_no_sign_of_a_weak_search() -> None:
    run = run_of([trial(n, FOG, "yy") for n in range(30)], *RECORDS)
    assert not [flag for flag in check(rows(run)) if "nothing found" in flag.sign]


def test_tables_pages_and_json_hold_the_mean_and_the_note(tmp_path: Path) -> None:
    run = with_reference()
    run = run_of(run.trials, *RECORDS, folder=tmp_path / "run")
    sentence = only(run, "zoo:b").lines()[1]
    assert sentence.startswith("zoo:a: mean corruption error (mCE) 162.5 % [") and "relative to zoo:b" in sentence
    text = table_text(run)
    assert "mean accuracy 50.0 %" in text and text.count(f"note: corruption: {NOTE}") == 1 and "mCE" not in text
    assert sentence in page(run, "zoo:b") and "mCE" not in page(run) and NOTE in page(run)
    words = ["report", str(tmp_path / "run"), "--reference-classifier", "zoo:b"]
    assert "mCE" in CliRunner().invoke(app, words).output
    data = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert [b["classifier"] for b in data["benchmarks"]] == ["zoo:a", "zoo:b"]
    assert data["benchmarks"][0]["relative"]["value"] == pytest.approx(1.625)
    assert data["benchmarks"][0]["by_level"] == {"1.0": 5 / 8, "3.0": 3 / 8}
    assert f"corruption: {NOTE}" in data["notes"]
    CliRunner().invoke(app, [*words, "--html", str(tmp_path / "page.html")])
    assert "mCE" in (tmp_path / "page.html").read_text()
