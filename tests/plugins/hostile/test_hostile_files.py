"""`granu info` answers every hostile file in one sentence, fast and in little memory, and runs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fuzzing import FORMATS as SEEDS
from fuzzing import mutated
from hostile_files import FORMATS, make_special

SECONDS, MEGABYTES = 1.0, 200  # for each file
SLOWER = 5  # a busy machine
# runs the command line for one path after another in a single process, whose memory is limited and recorded
CHILD = """
import contextlib, io, json, os, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000,) * 2)
import functools
from granu.cli import main
info = sys.modules["granu.cli.info"]
info.load_catalog = functools.cache(info.load_catalog)  # the plugins, once for all files
for name, path in json.load(sys.stdin).items():
    sys.argv = ["granu", "info", f"GENERATOR:weights=\\"{path}\\""]
    out, err, start = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main() or 0
        except SystemExit as done:
            code = done.code
        except BaseException as problem:
            code = repr(problem)[:500]
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps([name, code, err.getvalue(), time.process_time() - start, peak, "torch" in sys.modules]))
"""
Answers = Callable[..., list[list[Any]]]


@pytest.fixture
def answers() -> Answers:
    def ask(paths: dict[str, str], generator: str = "stylegan") -> list[list[Any]]:
        command = [sys.executable, "-c", CHILD.replace("GENERATOR", generator)]
        done = subprocess.run(command, input=json.dumps(paths), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return ask


def faults(answered: list[list[Any]], sentence: bool = True) -> list[list[Any]]:
    """The answers that are not one sentence with exit code 2, or are slow, large, or import torch.

    With `sentence` False a file may be read as well.
    """
    return [
        answer
        for answer in answered
        if not (_is_one_sentence(*answer[1:3]) or (answer[1] == 0 and not sentence)) or not _is_cheap(*answer[3:])
    ]


def _is_one_sentence(code: Any, message: str) -> bool:
    one_line = message.startswith("granu: ") and message.count("\n") == 1 and message.endswith("\n")
    return code == 2 and one_line and message[:-1].isprintable() and len(message) < 1000


def _is_cheap(seconds: float, megabytes: float, torch: bool) -> bool:
    return seconds < SECONDS * SLOWER and megabytes < MEGABYTES and not torch


def write(folder: Path, files: dict[str, bytes]) -> dict[str, str]:
    for i, data in enumerate(files.values()):
        (folder / str(i)).write_bytes(data)
    return {name: str(folder / str(i)) for i, name in enumerate(files)}


@pytest.mark.parametrize(
    ("kind", "generator"), [*((kind, "stylegan") for kind in FORMATS), ("torch", "biggan"), ("safetensors", "biggan")]
)
def test_every_hostile_file_is_refused_in_one_sentence(
    tmp_path: Path, answers: Answers, kind: str, generator: str
) -> None:
    files = FORMATS[kind]()
    answered = answers(write(tmp_path, files), generator)
    assert len(answered) == len(files) and faults(answered) == []


@pytest.mark.parametrize("generator", ["stylegan", "biggan"])
def test_pipes_devices_and_long_names_are_refused_in_one_sentence(
    tmp_path: Path, answers: Answers, generator: str
) -> None:
    paths = make_special(tmp_path)
    answered = answers(paths, generator)
    assert len(answered) == len(paths) and faults(answered) == []


def fuzzed(folder: Path, answers: Answers, kind: str, count: int, start: int = 0) -> list[list[Any]]:
    """The answers to mutated files of a kind."""
    return answers(write(folder, mutated(kind, count, start)), "biggan" if "biggan" in kind else "stylegan")


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_files_are_read_or_refused_in_one_sentence(tmp_path: Path, answers: Answers, kind: str) -> None:
    answered = fuzzed(tmp_path, answers, kind, 15)
    assert len(answered) == 15 and faults(answered, sentence=False) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEDS)
def test_ten_thousand_mutated_files_are_read_or_refused_in_one_sentence(
    tmp_path: Path, answers: Answers, kind: str
) -> None:
    for start in range(0, 10_000, 1000):
        part = tmp_path / str(start)
        part.mkdir()
        answered = fuzzed(part, answers, kind, 1000, start)
        assert len(answered) == 1000 and faults(answered, sentence=False) == []
        for file in part.iterdir():
            file.unlink()
