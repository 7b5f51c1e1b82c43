"""Reading a run's folder: as it was written, while it is written, and when it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from granu import RunFolderError
from granu.runs.records import PerturbationRecord, SourceRecord
from granu.runs.run import Run, read_run, recorded_sources
from granu.runs.trials import FOUND, NOT_FOUND, Trial
from granu.runs.writer import open_run

ONE = Trial("a", "pixel", "net", FOUND, label=0, predicted=1, size=0.5)
TWO = Trial("b", "pixel", "net", NOT_FOUND, label=0, predicted=0, tried=1.0)
PIXEL = PerturbationRecord("pixel", "pixel", None, {}, "pixel", "granu", {}, SourceRecord("folder:val", "dataset"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of two trials and an image."""
    with open_run(tmp_path / "run", 3, "float32") as writer:
        writer.merge([PIXEL], [])
        writer.append([ONE, TWO], {"a/clean.png": b"png"})
    return tmp_path / "run"


def test_a_run_is_read_as_it_was_written(folder: Path) -> None:
    run = read_run(folder)
    assert run.trials == [ONE, TWO] and run.record.seed == 3 and run.record.perturbations == {"pixel": PIXEL}
    assert run.read_image("a/clean.png") == b"png" and run.read_image("b/clean.png") is None
    assert str(run) == str(folder) and str(Run()) == "this run"


def test_a_run_that_is_still_written_is_read_without_its_last_half_line(folder: Path) -> None:
    with open_run(folder, 3, "float32"), (folder / "trials.jsonl").open("a") as stream:
        stream.write('{"image":"c","pert')
        stream.flush()
        assert read_run(folder).trials == [ONE, TWO]


def test_a_folder_without_a_run_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"nowhere is no run: it holds no run.json; `granu eval --out .*nowhere`"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", '{"perturbations"', "\x00\x01"])
def test_records_that_do_not_parse_are_refused(folder: Path, text: str) -> None:
    (folder / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"run.json does not parse"):
        read_run(folder)


DAMAGED = [
    ("not json", "line 2 of .*trials.jsonl is damaged: it is no JSON; delete that line to go on"),
    ("", "line 2 of .*trials.jsonl is damaged: it is no JSON"),
    ("{}", "line 2 of .*trials.jsonl is damaged: it lacks image, perturbation, classifier, outcome"),
    (json.dumps({**json.loads(TWO.line()), "size": "big"}), 'line 2 of .*: size cannot be "big"; delete that line'),
    (json.dumps({**json.loads(TWO.line()), "size": -2}), "line 2 of .*: size cannot be negative"),
    (json.dumps({**json.loads(TWO.line()), "outcome": "perhaps"}), "line 2 of .*: outcome cannot be 'perhaps'"),
]


@pytest.mark.parametrize(("line", "sentence"), DAMAGED, ids=[line[:20] for line, _ in DAMAGED])
def test_a_damaged_line_is_one_sentence_with_its_number(folder: Path, line: str, sentence: str) -> None:
    (folder / "trials.jsonl").write_text(ONE.line() + line + "\n" + TWO.line())
    for read in (lambda: read_run(folder), lambda: open_run(folder, 3, "float32")):
        with pytest.raises(RunFolderError, match=sentence) as refused:
            read()
        assert "\n" not in str(refused.value)


def test_an_unusual_character_in_a_name_does_not_break_a_line(tmp_path: Path) -> None:
    odd = Trial("a\u2028b\x85c\x0cd/ü.png", "pixel", "net", FOUND)
    with open_run(tmp_path / "run", 3, "float32") as writer:
        writer.append([odd], {})
    file = tmp_path / "run" / "trials.jsonl"
    file.write_text(file.read_text() + json.dumps(json.loads(ONE.line()), ensure_ascii=False) + "\n")
    assert read_run(tmp_path / "run").trials == [odd, ONE]


def test_the_images_of_each_perturbation_are_recorded(folder: Path, tmp_path: Path) -> None:
    assert recorded_sources(folder) == {"pixel": "folder:val"}
    assert recorded_sources(tmp_path / "nowhere") == {}


def test_a_run_in_memory_gives_its_images(tmp_path: Path) -> None:
    with open_run(None, 3, "float32") as writer:
        writer.append([ONE], {"a/clean.png": b"png"})
        assert writer.run.read_image("a/clean.png") == b"png" and writer.run.read_image("b") is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_trials_yet_can_be_read(folder: Path) -> None:
    (folder / "trials.jsonl").unlink()
    assert read_run(folder).trials == []


def test_a_damaged_record_names_its_file(folder: Path) -> None:
    (folder / "run.json").write_text("[]")
    with pytest.raises(RunFolderError) as raised:
        read_run(folder)
    assert str(raised.value) == (f"{folder}/run.json is not the record of a run that granu wrote; name another folder")
    (folder / "run.json").write_text("{")
    with pytest.raises(RunFolderError) as raised:
        read_run(folder)
    assert str(raised.value) == f"{folder}/run.json does not parse; this folder is no run that granu wrote"


def test_a_line_of_other_bytes_than_utf_8_is_damaged(folder: Path) -> None:
    (folder / "trials.jsonl").write_bytes(ONE.line().encode() + b"\xff\xfe\n")
    with pytest.raises(RunFolderError) as raised:
        read_run(folder)
    assert str(raised.value) == (
        f"line 2 of {folder}/trials.jsonl is damaged: it is no JSON; delete that line to go on"
    )
