"""`granu report`, and the same results for notebooks: text, plain data, a page that works offline."""

import csv
import json
import re
from dataclasses import asdict, replace
from html import unescape
from pathlib import Path

import pytest
from making_runs import TINY, perturbation, run_of, spending, write
from typer.testing import CliRunner, Result

from granu.cli import app
from granu.errors import GranuError
from granu.report.page import page
from granu.report.present import figure, html, rows_as_dicts, table_text
from granu.runs.records import FailureRecord, SiteRecord, SourceRecord
from granu.runs.run import Run, read_run
from granu.runs.trials import CLASSIFIER, FOUND, Trial

FAILURE = FailureRecord("zoo:a", "tiny:w", "tiny", "ValueError: no", 12)
LEGEND = "found = attack success; confirmed = label-preserving attack success (every judge still sees the label)"


def granu(*words: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, words)])


def found(number: int = 0, key: str = "tiny:z", name: str = "zoo:a", **more: object) -> Trial:
    fields = {"label": 0, "size": 1.0, "tried": 2.0} | more
    return Trial(f"p{number}", key, name, FOUND, **fields)  # type: ignore[arg-type]


def test_it_prints_the_table_and_what_needs_attention(tmp_path: Path) -> None:
    record = perturbation("tiny:z", judges=("j",), sites=(SiteRecord("z", (64,), "sigma", 1000, 64, 1),))
    trials = [found(n, votes={"j": 0}, l2=1.0, linf=0.5, ssim=0.5, height=8, width=8) for n in range(9)]
    run_of(trials, record, folder=tmp_path / "run", failures=[FAILURE])
    assert granu(tmp_path / "run").output.splitlines() == [
        "zoo:a: 9 of 9 images classified correctly (8 x 8)",
        "",
        " change   found %        confirmed %    median size        median, confirmed   L2     SSIM",
        " " + "─" * 90,
        " tiny:z   100 [70–100]   100 [70–100]   1.00 [1.00–1.00]   1.00 [1.00–1.00]    1.00   0.500",
        "",
        LEGEND,
        "failed: tiny:w on zoo:a: ValueError: no (12 images)",
        "note: zoo:a: few images, so raise --count before concluding: tiny:z (9)",
        "note: tiny: near-constant neurons clamped to the minimum std: z (1 of 64)",
    ]


def test_the_text_of_a_run_is_what_the_command_prints(matrix: Run) -> None:
    assert granu(matrix.folder).output == table_text(matrix) + "\n" == matrix.table() + "\n"
    assert table_text(matrix).count("images classified correctly") == 2 and table_text(matrix).count(LEGEND) == 1


def test_json_holds_rows_health_notes_and_failures(matrix: Run) -> None:
    assert matrix.folder is not None
    matrix.record.failures = [FAILURE]
    write(matrix)
    data = json.loads(granu(matrix.folder, "--json").output)
    assert data["run"] == str(matrix.folder) and data["rows"] == read_run(matrix.folder).to_dicts()
    assert data["failures"] == [asdict(FAILURE)] and data["notes"] == [] and isinstance(data["health"], list)


def test_records_hold_every_number_without_rounding() -> None:
    trial = found(
        size=1 / 3, l2=0.1, linf=0.2, ssim=0.3, pixels=4, features=5, forward=6, backward=7, control=True,
        votes={"j": 0}, unit="sigma", height=8, width=9,
    )  # fmt: skip
    (record,) = rows_as_dicts(run_of([trial], judges=("j",)))
    wilson = (pytest.approx(0.2065, abs=1e-4), 1.0)
    rates = ("found", "confirmed", "control")
    assert [(record[f"{r}_hits"], record[r]) for r in rates] == [(1, 1.0)] * 3
    assert [(record[f"{r}_low"], record[f"{r}_high"]) for r in rates] == [wilson] * 3
    assert (record["confirmed_size"], record["confirmed_size_low"]) == (1 / 3, 1 / 3)
    assert {key: value for key, value in record.items() if not key.startswith(rates)} == {
        "classifier": "zoo:a", "perturbation": "tiny:z", "evidence": "images", "unit": "sigma", "budget": None,
        "counted": 1, "clean_wrong": 0, "unreadable": 0, "reconstruction_wrong": 0,
        "not_encoded": 0, "failed": 0, "failed_because": "",
        "levels": "", "accuracy": None, "accuracy_low": None, "accuracy_high": None,
        "size": 1 / 3, "size_low": 1 / 3, "size_high": None, "size_beyond": None,
        "l2": 0.1, "linf": 0.2, "ssim": 0.3, "pixels": 4, "features": 5, "forward": 6.0, "backward": 7.0,
        "image_sizes": "8 x 9",
    }  # fmt: skip


def test_records_name_the_evidence_and_the_budget() -> None:
    inside = found(key="features:advbn", evidence=CLASSIFIER)
    run = run_of([found(), inside], spending("tiny:z", 0.5))
    image, features = rows_as_dicts(run)
    assert (image["evidence"], image["budget"], image["size"]) == ("images", 0.5, None)
    assert (features["evidence"], features["budget"], features["size"]) == ("classifier", None, 1.0)


def test_csv_has_a_line_per_row(matrix: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    assert granu(matrix.folder, "--csv", file).exit_code == 0
    lines = list(csv.DictReader(file.read_text().splitlines()))
    assert [line["perturbation"] for line in lines] == ["tiny:layer1", "tiny:image"] * 2
    assert [float(line["found"]) for line in lines] == [row["found"] for row in rows_as_dicts(matrix)]


def test_it_writes_figures_and_the_page(matrix: Run, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("profile.svg", "survival.png", "sheet.png", "report.html")}
    result = granu(
        matrix.folder, "--figure", files["profile.svg"], "--survival", files["survival.png"],
        "--sheet", files["sheet.png"], "--html", files["report.html"], "--classifier", "zoo:hard",
    )  # fmt: skip
    assert result.exit_code == 0 and all(file.stat().st_size > 1000 for file in files.values())
    assert all(f"written: {file}" in result.output for file in files.values())


def test_the_page_states_where_the_numbers_come_from(matrix: Run) -> None:
    matrix.record.perturbations["tiny:image"] = replace(
        matrix.record.perturbations["tiny:image"], source=SourceRecord("folder:val", "dataset"), judges=("zoo:second",)
    )
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd></div>", page(matrix)))
    assert facts == {
        "images": "30", "from": "tiny, folder:val", "height x width": "4 x 4", "seed": "0", "precision": "float32",
        "judges": "zoo:judge, zoo:second", "device": "cpu", "granu": "0.1.0",
    }  # fmt: skip


def test_the_page_holds_every_cell_command_note_and_failure(matrix: Run) -> None:
    matrix.record.failures = [FAILURE]
    text = unescape(page(matrix))
    assert all(f'<pre class="command">{command.command}</pre>' in text for command in matrix.record.commands)
    assert "<li>failed: tiny:w on zoo:a: ValueError: no (12 images)</li>" in text and LEGEND in text
    for line in re.findall(r"^ tiny:.*", table_text(matrix), re.M):
        for cell in re.split(r"   +", line.strip())[1:]:
            assert re.sub(r" \[(.*)\]", r"<span>[\1]</span>", cell) in text
    assert '<td title="tiny:layer1">layer1</td>' in text and "Granularity profile" in text
    of_a_strip = 1 + 2 * 2  # the clean image, two changed ones and their differences
    assert text.count("data:image/png;base64,") == 2 * 2 * of_a_strip


def test_the_page_of_a_run_in_memory_is_the_same_but_for_its_name(matrix: Run) -> None:
    from_folder = page(matrix)
    matrix.folder = None
    assert page(matrix) == from_folder.replace("<title>granu · run<", "<title>granu · granu run<").replace(
        "<h1>run<", "<h1>granu run<"
    )


def test_the_page_needs_no_network(matrix: Run) -> None:
    text = page(matrix)
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", text)
    assert "@import" not in text and "url(http" not in text


def test_pages_and_fragments_escape_names(matrix: Run) -> None:
    script = "<script>alert(1)</script>"
    matrix.record.commands[0] = replace(matrix.record.commands[0], command=script)
    matrix.record.failures = [replace(FAILURE, reason=script)]
    record = replace(matrix.record.perturbations["tiny:image"], key=script, target=script)
    matrix.record.perturbations[script] = record
    matrix.trials += [replace(t, perturbation=script) for t in matrix.trials if t.perturbation == "tiny:image"]
    for text in (page(matrix), html(matrix)):
        assert "<script>" not in text and "&lt;script&gt;" in text


def test_a_notebook_shows_a_table_per_classifier_with_the_cells_of_the_text(matrix: Run) -> None:
    fragment = matrix._repr_html_()
    assert fragment == html(matrix) and fragment.count("<table>") == fragment.count("</table>") == 2
    cells = [unescape(cell) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", fragment)]
    lines = re.findall(r"^ tiny:.*", table_text(matrix), re.M)
    assert cells == [cell.strip() for line in lines for cell in re.split(r"   +", line.strip())]
    assert 'title="structural similarity of found and clean images, at most 1, median"' in fragment
    assert LEGEND in fragment and "note: " not in fragment


def test_a_notebook_shows_a_run_without_trials() -> None:
    assert html(run_of([], failures=[FAILURE])) == (
        "<p>failed: tiny:w on zoo:a: ValueError: no (12 images)</p><p>this run holds no trials yet</p>"
    )


def test_the_figure_of_a_run_is_its_profile(matrix: Run) -> None:
    assert matrix.figure().axes[0].get_ylabel() == "median size, sigma (RMS)"
    with pytest.raises(GranuError, match="no smallest sizes"):
        figure(run_of([found()], spending("tiny:z", 2.0)))


def test_the_page_of_budgets_has_no_sizes_to_draw() -> None:
    text = page(run_of([found(source) for source in range(3)], spending("tiny:z", 2.0, source=TINY)))
    assert "Granularity profile" not in text and "spends 2.00" in text


def test_a_run_that_was_written_reads_back_the_same(matrix: Run) -> None:
    assert matrix.folder is not None
    again = read_run(matrix.folder)
    assert again.record == matrix.record and len(again.trials) == len(matrix.trials)
    assert table_text(again) == table_text(matrix)


@pytest.mark.parametrize("words", [("nowhere",), ("nowhere", "--json")])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    problem = granu(tmp_path / words[0], *words[1:]).exception
    assert isinstance(problem, GranuError) and "is no run" in str(problem)


@pytest.mark.parametrize("option", ["--html", "--csv"])
def test_a_file_that_cannot_be_written_is_refused(matrix: Run, tmp_path: Path, option: str) -> None:
    problem = granu(matrix.folder, option, tmp_path / "nowhere" / "report").exception
    assert isinstance(problem, GranuError) and "cannot write" in str(problem)


def test_a_terminal_shows_the_same_cells(matrix: Run, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    from granu.cli import show

    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    show.table(("change", "found %"), [("tiny:z", "[bold]100")], "zoo:[a]")
    printed = capsys.readouterr().out  # type: ignore[attr-defined]
    assert "zoo:[a]" in printed and "[bold]100" in printed and "─" in printed
