"""Labels replace names in everything that is shown, and in nothing that is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from making_runs import run_of, write
from typer.testing import CliRunner, Result

from granu.cli import app
from granu.errors import UnknownName
from granu.report.labels import labelled, title_of
from granu.report.present import compare_runs, rows_as_dicts, table_text
from granu.report.profile import profile
from granu.report.sheet import sheet
from granu.runs.records import FailureRecord
from granu.runs.run import Run, read_run
from granu.runs.trials import FOUND, Trial


def granu(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def label(run: Run, classifiers: dict[str, str], perturbations: dict[str, str]) -> Run:
    """Give labels to some of a run's records, and write it."""
    for name, text in classifiers.items():
        run.record.classifiers[name] = replace(run.record.classifiers[name], label=text)
    for key, text in perturbations.items():
        run.record.perturbations[key] = replace(run.record.perturbations[key], label=text)
    write(run)
    return run


@pytest.fixture
def named(matrix: Run) -> Run:
    matrix.record.failures = [FailureRecord("zoo:hard", "tiny:layer1", "tiny", "ValueError: no", 3)]
    return label(matrix, {"zoo:hard": "trained", "zoo:judge": "voter"}, {"tiny:layer1": "layout"})


def test_tables_rows_and_failures_have_the_labels(named: Run) -> None:
    text = table_text(named)
    assert "\ntrained: 29 of 30" in text and "zoo:plain: 29 of 30" in text and " layout   " in text
    assert "failed: layout on trained: ValueError: no (3 images)" in text
    assert "zoo:hard" not in text and "layer1" not in text
    assert [(row["classifier"], row["perturbation"]) for row in rows_as_dicts(named)] == [
        ("zoo:plain", "layout"), ("zoo:plain", "tiny:image"), ("trained", "layout"), ("trained", "tiny:image"),
    ]  # fmt: skip


def test_the_page_and_the_figures_have_them_and_find_the_images(named: Run, tmp_path: Path) -> None:
    file, drawn = tmp_path / "report.html", tmp_path / "sheet.png"
    result = granu("report", named.folder, "--html", file, "--sheet", drawn, "--classifier", "zoo:hard")
    assert result.exit_code == 0 and drawn.stat().st_size > 1000
    text = file.read_text()
    assert text.count("<img ") == 20 and 'alt="tiny#2 changed by layout: trained sees' in text
    assert '<td title="layout">layout</td>' in text and "<dd>voter</dd>" in text
    legend = profile(labelled(named)).legends[0]
    assert [one.get_text() for one in legend.get_texts()][:2] == ["zoo:plain", "trained"]
    with pytest.raises(UnknownName, match="did you mean 'trained'"):
        sheet(labelled(named), "traned")


def test_guides_are_renamed(named: Run) -> None:
    guided = replace(named.record.perturbations["tiny:layer1"], guides=("zoo:judge", "zoo:plain"))
    named.record.perturbations["tiny:layer1"] = guided
    assert labelled(named).record.perturbations["layout"].guides == ("voter", "zoo:plain")


def test_votes_and_judges_are_renamed_together(named: Run) -> None:
    shown = labelled(named)
    assert shown.record.perturbations["layout"].judges == ("voter",)
    assert {judge for trial in shown.trials for judge in trial.votes} == {"voter"}
    assert {judge for trial in named.trials for judge in trial.votes} == {"zoo:judge"}, "the run itself is unchanged"


def test_labels_of_labelled_runs_stay(named: Run) -> None:
    assert table_text(labelled(named)) == table_text(named)


def test_a_run_without_labels_is_itself(matrix: Run) -> None:
    assert labelled(matrix) is matrix and title_of(matrix, None) is None


def test_a_label_that_two_have_or_that_is_anothers_name_is_not_used(matrix: Run) -> None:
    label(matrix, {"zoo:plain": "same", "zoo:hard": "same"}, {"tiny:layer1": "tiny:image"})
    assert labelled(matrix) is matrix


def trials(name: str, size: float) -> list[Trial]:
    return [
        Trial(f"p{n}", "tiny:z", name, FOUND, label=0, predicted=1, size=size, unit="sigma", tried=9.0)
        for n in range(20)
    ]


def test_comparisons_pair_by_name_and_show_labels(tmp_path: Path) -> None:
    before = label(run_of(trials("a", 2), folder=tmp_path / "before"), {"a": "old"}, {"tiny:z": "shape"})
    after = label(run_of(trials("a", 1), folder=tmp_path / "after"), {"a": "new"}, {"tiny:z": "another word"})
    result = granu("compare", before.folder, after.folder, "--fail-if-worse", 5)
    assert result.exit_code == 4
    assert result.output.startswith(f"first:  old in {before.folder}\nsecond: new in {after.folder}\n")
    assert "\n shape " in result.output and "  shape: sizes are smaller by 50 % (p < 0.001)" in result.output
    both = run_of([*trials("a", 2), *trials("b", 1), *trials("c", 1)])
    both.record.classifiers["b"] = replace(both.record.classifiers["b"], label="robust")
    for name in ("b", "robust"):
        assert compare_runs([both], "a", name).second.name == "robust"


def test_labels_are_read_back(named: Run) -> None:
    assert named.folder is not None
    assert table_text(read_run(named.folder)) == table_text(named)
