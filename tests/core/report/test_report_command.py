"""`granu report`: prints, writes what it is asked for, and opens offline."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from granu.cli import app
from granu.errors import GranuError
from granu.report.page import page
from granu.runs.folder import Run, read_run
from granu.runs.trials import FOUND, Trial


def granu(*words: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, words)])


def test_it_prints_the_table_and_the_signs(matrix: Run) -> None:
    message = granu(matrix.folder)
    assert message.exit_code == 0 and "tiny:layer1" in message.output and "zoo:hard" in message.output
    assert "note: zoo:plain: the judges still see the label" not in message.output  # four of five confirm


def test_a_perturbation_that_raised_is_told(run_folder: Callable[..., Path]) -> None:
    failure = {
        "classifier": "zoo:a",
        "perturbation": "tiny:w",
        "plugin": "tiny",
        "reason": "ValueError: no",
        "traceback": "",
    }
    folder = run_folder(Trial("p", "tiny:z", "zoo:a", FOUND, label=0, size=1.0), failures=[failure])
    assert "failed: tiny:w on zoo:a: ValueError: no" in granu(folder).output
    assert "tiny:w on zoo:a failed in plugin tiny: ValueError: no" in page(read_run(folder))


def test_json_tells_the_same_unrounded(matrix: Run) -> None:
    data = json.loads(granu(matrix.folder, "--json").output)
    first = data["rows"][0]
    assert (first["classifier"], first["perturbation"]) == ("zoo:plain", "tiny:layer1")
    assert first["found"] == first["found_hits"] / first["counted"] and first["size_low"] <= first["size"]


def test_csv_has_a_line_per_row(matrix: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    assert granu(matrix.folder, "--csv", file).exit_code == 0
    lines = list(csv.DictReader(file.read_text().splitlines()))
    assert [line["perturbation"] for line in lines] == ["tiny:layer1", "tiny:image"] * 2
    assert float(lines[0]["found_low"]) < float(lines[0]["found"]) <= 1


def test_it_writes_figures_and_the_page(matrix: Run, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("profile.svg", "survival.png", "sheet.png", "report.html")}
    message = granu(
        matrix.folder, "--figure", files["profile.svg"], "--survival", files["survival.png"],
        "--sheet", files["sheet.png"], "--html", files["report.html"],
    )  # fmt: skip
    assert message.exit_code == 0 and all(file.stat().st_size > 1000 for file in files.values())


def test_the_page_asks_the_network_for_nothing(matrix: Run) -> None:
    text = page(matrix)
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", text)
    assert "@import" not in text and "url(http" not in text


def test_the_page_escapes_what_others_named(matrix: Run) -> None:
    matrix.record["command"] = "granu eval --data '<script>alert(1)</script>'"
    text = page(matrix)
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_the_page_of_budgets_does_without_sizes(matrix: Run) -> None:
    matrix.trials = [
        type(t)(**{**vars(t), "perturbation": t.perturbation + ",budget=2,search=worst"}) for t in matrix.trials
    ]
    assert "Granularity profile" not in page(matrix)


@pytest.mark.parametrize("words", [("nowhere",), ("nowhere", "--json")])
def test_a_folder_that_is_no_run_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    problem = granu(tmp_path / words[0], *words[1:]).exception
    assert isinstance(problem, GranuError) and "is no run" in str(problem)


def test_a_page_that_cannot_be_written_is_told(matrix: Run, tmp_path: Path) -> None:
    problem = granu(matrix.folder, "--html", tmp_path / "nowhere" / "report.html").exception
    assert isinstance(problem, GranuError) and "cannot write" in str(problem)
