"""`granu eval` as a person uses it, on the tiny world: results, resuming, killing, and the sentences of mistakes."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granu.runs.run import read_run
from granu.runs.trials import Trial
from granu.runs.writer import open_run

Granu = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]
RUN = ("--classifier", "tiny-classifier", "--count", "12", "--seed", "3")


@pytest.fixture(autouse=True)
def world(tiny_place: Path) -> None:
    """Install the tiny world."""


def trials(folder: Path) -> dict[tuple[str, str, str], Trial]:
    return {trial.key: trial for trial in read_run(folder).trials}


def assert_same(one: Path, other: Path) -> None:
    """The same verdict for every image, and sizes equal to a thousandth."""
    first, second = trials(one), trials(other)
    assert first.keys() == second.keys()
    for key, trial in first.items():
        assert (trial.outcome, trial.label, trial.predicted) == (
            second[key].outcome,
            second[key].label,
            second[key].predicted,
        ), key
        if trial.size is not None:
            assert trial.size == pytest.approx(second[key].size, rel=1e-3), key


def test_a_run_prints_a_table_and_says_where_it_is(granu: Granu, tmp_path: Path) -> None:
    result = granu("eval", "--perturb", "tiny:layer1", *RUN)
    assert result.returncode == 0, result.stderr
    assert "tiny:layer1" in result.stdout and "sigma (RMS)" in result.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name in result.stdout
    assert len(trials(folder)) == 12


def test_a_run_is_the_same_whatever_the_batch(granu: Granu, tmp_path: Path) -> None:
    for batch in ("1", "5", "12"):
        assert (
            granu("eval", "-p", "tiny:layer*,steps=20,samples=50", *RUN, "--batch", batch, "--out", batch).returncode
            == 0
        )
    assert_same(tmp_path / "1", tmp_path / "5")
    assert_same(tmp_path / "1", tmp_path / "12")


def test_an_images_result_does_not_depend_on_what_else_ran(granu: Granu, tmp_path: Path) -> None:
    granu("eval", "-p", "tiny:layer0", *RUN, "--out", "alone")
    granu("eval", "-p", "tiny:image", "-p", "tiny:layer0", *RUN, "-c", "tiny-classifier:linear", "--out", "among")
    alone, among = trials(tmp_path / "alone"), trials(tmp_path / "among")
    assert all(among[key].size == pytest.approx(trial.size, rel=1e-3) for key, trial in alone.items() if trial.size)


def test_the_same_command_again_does_nothing_and_a_larger_one_only_what_is_missing(
    granu: Granu, tmp_path: Path
) -> None:
    command = ("eval", "-p", "tiny:layer1,steps=20", *RUN, "--out", "run")
    granu(*command)
    before = (tmp_path / "run/trials.jsonl").read_bytes()
    again = granu(*command)
    assert again.returncode == 0 and (tmp_path / "run/trials.jsonl").read_bytes() == before
    granu(
        "eval",
        "-p",
        "tiny:layer1,steps=20",
        "-p",
        "tiny:z,steps=20",
        *RUN[:2],
        "--count",
        "20",
        "--seed",
        "3",
        "--out",
        "run",
    )
    after = (tmp_path / "run/trials.jsonl").read_bytes()
    assert after.startswith(before) and len(trials(tmp_path / "run")) == 40


def test_another_seed_in_the_folder_is_refused_with_the_difference(granu: Granu, tmp_path: Path) -> None:
    granu("eval", "-p", "tiny:layer1,steps=20", *RUN, "--out", "run")
    before = (tmp_path / "run/trials.jsonl").read_bytes()
    refused = granu("eval", "-p", "tiny:layer1", "-c", "tiny-classifier", "--seed", "4", "--out", "run")
    assert refused.returncode == 2 and "run was measured with seed 3, not 4; name another folder" in refused.stderr
    assert (tmp_path / "run/trials.jsonl").read_bytes() == before


def test_a_second_process_in_the_folder_is_refused(granu: Granu, tmp_path: Path) -> None:
    granu("eval", "-p", "tiny:layer1,steps=20", *RUN, "--out", "run")
    with open_run(tmp_path / "run", 3, "float32"):
        refused = granu("eval", "-p", "tiny:layer1,steps=20", *RUN, "--out", "run")
    assert refused.returncode == 2 and "another granu is writing to run" in refused.stderr


SLOW = (
    "eval",
    "-p",
    "tiny:all,steps=15,samples=50",
    "-c",
    "tiny-classifier",
    "--count",
    "24",
    "--batch",
    "2",
    "--out",
)


def wait_for_lines(file: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_bytes().count(b"\n") >= count):
        assert time.monotonic() < deadline, "the run wrote nothing"
        time.sleep(0.005)


def test_kill_9_in_the_middle_and_the_same_command_give_the_trials_of_an_unbroken_run(
    granu: Granu, granu_process: Start, tmp_path: Path
) -> None:
    assert granu(*SLOW, "whole").returncode == 0
    process = granu_process(*SLOW, "broken")
    wait_for_lines(tmp_path / "broken/trials.jsonl", 31)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # a line that the crash cut off
    with (tmp_path / "broken/trials.jsonl").open("a") as stream:
        stream.write('{"image":"tiny#39","perturb')
    assert granu(*SLOW, "broken").returncode == 0
    assert_same(tmp_path / "whole", tmp_path / "broken")
    assert len((tmp_path / "broken/trials.jsonl").read_text().splitlines()) == 4 * 24


def test_ctrl_c_keeps_what_was_measured_and_prints_the_command_that_resumes(
    granu_process: Start, tmp_path: Path
) -> None:
    process = granu_process(*SLOW, "run", "--count", "2000")  # so long that it cannot end before the signal comes
    wait_for_lines(tmp_path / "run/trials.jsonl", 3)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130, message
    assert "interrupted; results so far are in run. To resume, run" in message and "Traceback" not in message
    assert "granu eval -p tiny:all,steps=15" in message and message.rstrip().endswith("--out run --count 2000")
    assert len(trials(tmp_path / "run")) >= 3


def test_a_full_disk_in_the_middle_loses_nothing(granu: Granu, granu_process: Start, tmp_path: Path) -> None:
    no_file_beyond_7_kb = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (7000, 7000))"
    )
    process = granu_process(*SLOW, "run", before=no_file_beyond_7_kb)
    _, message = process.communicate(timeout=120)
    assert process.returncode == 2 and "cannot write to run" in message and "Traceback" not in message, message
    kept = trials(tmp_path / "run")
    assert kept
    assert granu(*SLOW, "run").returncode == 0
    after = trials(tmp_path / "run")
    assert len(after) == 4 * 24 and all(after[key] == trial for key, trial in kept.items())


RAISES = """
import granu

class Sometimes:
    unit = "nothing"

    def perturb(self, classifier, batch, criterion, noise):
        raise ZeroDivisionError("on purpose")

@granu.hookimpl
def granu_perturbations():
    return [granu.PerturbationOffer(
        name="sometimes", summary="raises", make=lambda options, context: Sometimes(), searched=False,
    )]
"""


def test_a_perturbation_that_raises_fails_alone(fake_plugin, granu: Granu, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    fake_plugin("sometimes", RAISES)
    result = granu("eval", "-p", "sometimes", "-p", "tiny:layer1", "--data", "tiny", *RUN, "--out", "run")
    assert result.returncode == 3
    assert "sometimes on tiny-classifier failed in plugin 'sometimes' for 12 images (ZeroDiv" in result.stderr
    assert {trial.perturbation for trial in read_run(tmp_path / "run").trials} == {"tiny:layer1"}
    (failure,) = read_run(tmp_path / "run").record.failures
    assert "Traceback" in failure.traceback and failure.images == 12


def test_data_that_does_not_fit_one_perturbation_ends_no_other(granu: Granu, tmp_path: Path) -> None:
    result = granu("eval", "-p", "frequency:start=9", "-p", "pixel:l2,steps=9", "--data", "tiny", *RUN, "--out", "run")
    assert result.returncode == 3 and "pixel:l2,steps=9" in result.stdout and "Traceback" not in result.stderr
    assert "frequency:start=9 on tiny-classifier failed in plugin 'frequency' for 12 images (a band" in result.stderr
    assert {trial.perturbation for trial in read_run(tmp_path / "run").trials} == {"pixel:l2,steps=9"}


def test_a_run_of_nothing_but_failures_is_one_sentence(granu: Granu) -> None:
    result = granu("eval", "-p", "frequency:start=9", "--data", "tiny", *RUN, "--out", "run")
    assert result.returncode == 2 and result.stderr.startswith("granu: a band from 9") and result.stdout == ""


def test_a_search_with_a_budget_is_printed_and_reported(granu: Granu) -> None:
    asked = "pixel:linf,search=pgd,budget=8/255,steps=5"
    measured = granu("eval", "-p", asked, "--data", "tiny", *RUN, "--out", "run")
    assert measured.returncode == 0, measured.stderr
    reported = granu("report", "run")
    assert reported.returncode == 0, reported.stderr
    for answer in (measured, reported):
        assert "pixel:linf,budget=8/255,search=pgd,steps=5" in answer.stdout.replace("\n", "")


def test_pixels_may_follow_sites_in_one_folder(granu: Granu, tmp_path: Path) -> None:
    assert granu("eval", "-p", "tiny:layer1,steps=20", *RUN, "--out", "run").returncode == 0
    assert granu("eval", "-p", "pixel:l2,steps=9", "--data", "tiny", *RUN, "--out", "run").returncode == 0
    again = granu("eval", "-p", "pixel:l2,steps=9", *RUN, "--out", "run")
    assert again.returncode == 0 and "tiny:layer1" in again.stdout and "pixel:l2" in again.stdout
    assert len(trials(tmp_path / "run")) == 24


def test_fresh_starts_over_in_the_same_folder(granu: Granu, tmp_path: Path) -> None:
    granu("eval", "-p", "tiny:layer1,steps=20", *RUN, "--out", "run")
    (tmp_path / "run/notes.txt").write_text("mine")
    again = granu("eval", "-p", "tiny:z", *RUN[:-1], "4", "--out", "run", "--fresh")
    assert again.returncode == 0 and read_run(tmp_path / "run").record.seed == 4
    assert {perturbation for _, perturbation, _ in trials(tmp_path / "run")} == {"tiny:z"}
    assert (tmp_path / "run/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("damage", ['"size":"big"', '"size":-1', '"outcome":"perhaps"', '"votes":[]'])
def test_a_damaged_line_is_one_sentence_with_its_number(granu: Granu, tmp_path: Path, damage: str) -> None:
    granu("eval", "-p", "tiny:layer1,steps=20", *RUN, "--out", "run")
    file = tmp_path / "run/trials.jsonl"
    first, second, *rest = file.read_text().splitlines(keepends=True)
    file.write_text("".join([first, second[:-2] + f",{damage}}}\n", *rest]))
    for words in (("eval", "-p", "tiny:layer1,steps=20", *RUN, "--out", "run"), ("report", "run")):
        result = granu(*words)
        assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
        assert "line 2 of run/trials.jsonl is damaged" in result.stderr and "delete that line" in result.stderr


MISTAKES = [
    (("eval",), "say what to change with --perturb"),
    (("eval", "-p", "stylgan:layer6"), "did you mean 'stylegan'?"),
    (("eval", "-p", "tiny:layer9"), "did you mean 'layer1'?"),
    (("eval", "-p", "tiny:layer9*", *RUN), "there is no target named 'layer9*'"),
    (("eval", "-p", "tiny:layer1,stepz=3"), "has no option 'stepz'"),
    (("eval", "-p", "tiny:layer1,steps=0"), "out of range; it must be from 1 to 100000"),
    (("eval", "-p", "tiny:layer1+image"), "cannot be joined"),
    (("eval", "-p", "tiny:layer1,search=worst"), "needs a size to spend; add budget=NUMBER"),
    (("eval", "-p", "tiny:layer1,budget=1"), "search=smallest has no option 'budget'; it belongs to search=worst"),
    (("eval", "-p", "tiny:layer1"), "name a classifier with --classifier"),
    (("eval", "-p", "tiny:layer1", "-c", "tiny-clasifier"), "did you mean 'tiny-classifier'?"),
    (("eval", "-p", "tiny:layer1", "-c", "tiny-classifier:nann"), "did you mean 'nan'?"),
    (("eval", "-p", "tiny:layer1", "-c", "zoo:mnist-cn"), "did you mean 'mnist-cnn'?"),
    (("eval", "-p", "tiny:layer1", "-c", "zoo:mnist-cnn"), "take a classifier of the same classes"),
    (("eval", "-p", "tiny:layer1", "-c", "tiny-classifier:two"), "take a classifier of the same classes"),
    (("eval", "-p", "tiny:layer1", "-c", "tiny-classifier:nan"), "gives NaN or infinite logits"),
    (("eval", "-p", "tiny:layer1", *RUN, "--count", "0"), "--count 0 is too small"),
    (("eval", "-p", "tiny:layer1,steps=20", *RUN, "--out", "/proc/nowhere"), "cannot write to /proc/nowhere"),
    (("eval", "-p", "tiny:layer1,steps=20", *RUN, "--device", "cuda:99"), "take --device cpu or auto"),
    (("eval", "-p", "tiny:layer1,steps=20", *RUN, "--precision", "float16"), "--precision float16 is not offered"),
    (("eval", "-p", "tiny:layer1,steps=20", *RUN, "--data", "tiny"), "the sites of `tiny` draw their own"),
    (("eval", "-p", "stylegan:layer6,weights=nothing.safetensors"), "there are no weights 'nothing.safetensors'"),
    (("report", "nowhere"), "nowhere is no run"),
    (("info", "stylegam"), "did you mean 'stylegan'?"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence_with_the_cure(granu: Granu, words: tuple[str, ...], message: str) -> None:
    result = granu(*words)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert result.stderr.startswith("granu: ") and result.stderr.count("\n") == 1


def test_a_dry_run_prints_the_plan_and_touches_nothing(granu: Granu, tmp_path: Path) -> None:
    result = granu("eval", "-p", "tiny:all,steps=7", *RUN, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert [p["spec"] for p in plan["perturbations"]] == [
        f"tiny:{s},steps=7" for s in ("z", "layer0", "layer1", "image")
    ]
    assert plan["perturbations"][0]["search"]["steps"] == 7
    assert not (tmp_path / "runs").exists()


def test_json_is_for_machines(granu: Granu) -> None:
    data = json.loads(granu("eval", "-p", "tiny:image", *RUN, "--json").stdout)
    assert data["rows"][0]["perturbation"] == "tiny:image"


def test_the_version_is_printed(granu: Granu) -> None:
    import granu as package

    assert granu("--version").stdout == f"granu {package.__version__}\n"


def test_json_is_alone_on_standard_output_whatever_a_network_prints(granu: Granu, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import os\n"
        "from torch import nn\n"
        "class Loud(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        print('python')\n"
        "        os.write(1, b'descriptor')\n"
        "        return super().forward(x.flatten(1))\n"
        "def build():\n"
        "    return Loud(64, 3)\n"
    )
    own = ("--classifier", "python:loud.py:build,size=8,channels=1", "--data", "tiny", "--judge", "none")
    result = granu("eval", "-p", "pixel:l2,steps=2", *own, "--count", "3", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["rows"] and "python" in result.stderr
