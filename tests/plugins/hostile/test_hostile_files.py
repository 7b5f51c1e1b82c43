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


def check(answered: list[list[Any]], expected: int, sentence: bool = True) -> None:
    assert len(answered) == expected
    for name, code, message, seconds, megabytes, torch in answered:
        if sentence or code != 0:
            assert code == 2, (name, code, message)
            assert message.startswith("granu: ") and message.count("\n") == 1 and message.endswith("\n"), (
                name,
                message,
            )
            assert message[:-1].isprintable() and len(message) < 1000, (name, message)
        assert seconds < SECONDS * SLOWER and megabytes < MEGABYTES and not torch, (name, seconds, megabytes, torch)


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
    check(answers(write(tmp_path, files), generator), len(files))


@pytest.mark.parametrize("generator", ["stylegan", "biggan"])
def test_pipes_devices_and_long_names_are_refused_in_one_sentence(
    tmp_path: Path, answers: Answers, generator: str
) -> None:
    paths = make_special(tmp_path)
    check(answers(paths, generator), len(paths))


def fuzz(tmp_path: Path, answers: Answers, kind: str, count: int) -> None:
    check(answers(write(tmp_path, mutated(kind, count)), "biggan" if "biggan" in kind else "stylegan"), count, False)


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_files_are_read_or_refused_in_one_sentence(tmp_path: Path, answers: Answers, kind: str) -> None:
    fuzz(tmp_path, answers, kind, 15)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEDS)
def test_ten_thousand_mutated_files_are_read_or_refused_in_one_sentence(
    tmp_path: Path, answers: Answers, kind: str
) -> None:
    for start in range(0, 10_000, 1000):
        part = tmp_path / str(start)
        part.mkdir()
        files = mutated(kind, 1000, start)
        check(answers(write(part, files), "biggan" if "biggan" in kind else "stylegan"), 1000, False)
        for file in part.iterdir():
            file.unlink()
