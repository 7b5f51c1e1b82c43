"""Files for continuous integration: Markdown that shows what was typed, and JUnit XML with a test case per change."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from making_runs import perturbation, run_of
from typer.testing import CliRunner, Result

from granu.cli import app
from granu.errors import OptionError, RunFolderError
from granu.report.gate import gate
from granu.report.junit import junit_xml
from granu.report.markdown import markdown_table, markdown_text
from granu.report.pairing import MeasuredClassifier
from granu.report.present import compare_runs, table_markdown
from granu.runs.run import Run
from granu.runs.trials import FOUND, Trial

KEYS = ("tiny:layer1", "tiny:image")


def granu(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def trials(name: str, size: float, keys: tuple[str, ...] = KEYS) -> list[Trial]:
    return [
        Trial(f"p{number}", key, name, FOUND, label=0, predicted=1, size=size, unit="sigma", tried=9.0)
        for key in keys
        for number in range(20)
    ]


@pytest.fixture
def pair(tmp_path: Path) -> Run:
    """Two classifiers; the second needs half the size under one of two changes."""
    made = [*trials("a", 2.0), *trials("zoo:b", 1.0, KEYS[:1]), *trials("zoo:b", 2.0, KEYS[1:])]
    return run_of(made, folder=tmp_path / "run")


def test_a_markdown_table_has_a_ruler_and_a_line_per_row() -> None:
    assert markdown_table(("change", "found %"), [("z", "98 [95–99]"), ("w", "3")], "a: 5 of 6") == (
        "### a: 5 of 6\n\n| change | found % |\n| :-- | --: |\n| z | 98 \\[95–99\\] |\n| w | 3 |\n"
    )


def test_markdown_shows_every_character_as_it_is() -> None:
    assert markdown_text("a|b `c` <img> *d* _e_ [f](g) $h$ \\i &amp;\n- j") == (
        "a\\|b \\`c\\` \\<img\\> \\*d\\* \\_e\\_ \\[f\\](g) \\$h\\$ \\\\i \\&amp; - j"
    )


def test_the_markdown_of_a_run_has_the_cells_of_its_tables_and_the_lines_below(matrix: Run, tmp_path: Path) -> None:
    text = table_markdown(matrix)
    assert text.startswith("### zoo:plain: 29 of 30 images classified correctly (4 x 4)\n\n| change | found % |")
    assert text.count("\n| tiny:") == 4 and text.count("\n### ") == 1
    assert "\n- found = attack success; confirmed" in text
    file = tmp_path / "table.md"
    result = granu("report", matrix.folder, "--markdown", file)
    assert result.exit_code == 0 and file.read_text() == text and f"written: {file}" in result.output


def test_the_markdown_of_a_comparison_ends_with_the_verdict(pair: Run, tmp_path: Path) -> None:
    file = tmp_path / "compare.md"
    assert granu("compare", pair.folder, "--markdown", file).exit_code == 0
    assert file.read_text() == compare_runs([pair]).markdown()
    assert granu("compare", pair.folder, "--markdown", file, "--fail-if-worse", 5).exit_code == 4
    text = file.read_text()
    assert text.startswith("### zoo:b in ") and "| tiny:layer1 | 20 | 0 | 100 |" in text
    assert text.splitlines()[-1] == "- tiny:layer1: sizes are smaller by 50 % (p \\< 0.001)"


def test_a_verdict_is_a_test_case_per_change_and_per_source(pair: Run, tmp_path: Path) -> None:
    file = tmp_path / "granu.xml"
    result = granu("compare", pair.folder, "--fail-if-worse", 5, "--junit", file)
    assert result.exit_code == 4
    suites = ElementTree.parse(file).getroot()
    (suite,) = suites
    assert suites.tag == "testsuites" and (suite.get("tests"), suite.get("failures")) == ("3", "1")
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert list(cases) == ["clean accuracy on tiny", *KEYS]
    assert {case.get("classname") for case in cases.values()} == {"zoo:b"}
    assert [name for name, case in cases.items() if len(case)] == ["tiny:layer1"]
    (failure,) = cases["tiny:layer1"]
    assert failure.tag == "failure" and failure.get("message") == failure.text
    assert failure.text == "tiny:layer1: sizes are smaller by 50 % (p < 0.001)"
    output = suite.findtext("system-out")
    assert output is not None and f"second: zoo:b in {pair.folder}\ngate: failed;" in output


def test_what_passes_has_no_failure(pair: Run, tmp_path: Path) -> None:
    file = tmp_path / "granu.xml"
    assert granu("compare", pair.folder, "--fail-if-worse", 60, "--junit", file).exit_code == 0
    assert b"<failure" not in file.read_bytes() and b'failures="0"' in file.read_bytes()


def test_names_that_xml_cannot_hold_are_escaped_or_replaced() -> None:
    key = 'tiny:<b>&"\x1b\ud800'
    run = run_of([*trials("a", 2.0, (key,)), *trials("<b>", 1.0, (key,))], perturbation(key))
    first, second = MeasuredClassifier(run, "a"), MeasuredClassifier(run, "<b>")
    root = ElementTree.fromstring(junit_xml(gate(first, second, 5), first, second))
    case = list(root.iter("testcase"))[-1]
    assert (case.get("classname"), case.get("name")) == ("<b>", 'tiny:<b>&"??')


def test_junit_without_a_gate_and_files_that_cannot_be_written_are_refused(pair: Run, tmp_path: Path) -> None:
    problem = granu("compare", pair.folder, "--junit", tmp_path / "granu.xml").exception
    assert isinstance(problem, OptionError) and "--fail-if-worse" in str(problem)
    nowhere = tmp_path / "nowhere" / "file"
    for words in (["--junit", nowhere, "--fail-if-worse", 5], ["--markdown", nowhere]):
        problem = granu("compare", pair.folder, *words).exception
        assert isinstance(problem, RunFolderError) and "cannot write" in str(problem)
