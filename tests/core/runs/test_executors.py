"""Executors: worker processes give the lines of one process, and what dies loses only its item."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from granu.runs.run import Run, read_run

RunOf = Callable[..., Run]
CLASSIFIER = ("tiny-classifier:linear",)

# a perturbation that ends its own process, or raises, at the images that it is given; a file counts the attempts
DYING = """
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import granu
import torch
from granu.types import ImageEvidence


@dataclass(frozen=True)
class Options:
    how: str = granu.option("kill", "what happens", choices=("kill", "memory", "exit", "raise", "sleep", "nothing"))
    times: int = granu.option(1, "how often it happens")
    image: str = granu.option("tiny#2", "at which image")
    log: str = granu.option("attempts", "the file that counts attempts")


class Dying:
    unit = "nothing"

    def __init__(self, options, context):
        self.options = options

    def perturb(self, classifier, batch, criterion, noise):
        if self.options.image in batch.ids and self.attempt() <= self.options.times:
            happen(self.options.how)
        zeros = torch.zeros(len(batch.ids))
        return granu.Proposal(
            evidence=ImageEvidence(1 - batch.images), size=zeros + 1, tried=zeros + 1, forward=zeros.long(),
            backward=zeros.long(), notes=(None,) * len(batch.ids),
        )

    def attempt(self):
        with Path(self.options.log).open("a") as stream:
            stream.write(f"{os.getpid()}\\n")
        return len(Path(self.options.log).read_text().splitlines())


def happen(how):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(3)
    if how == "memory":
        raise MemoryError("not enough of it")
    if how == "raise":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    if how == "sleep":
        time.sleep(600)


@granu.hookimpl
def granu_perturbations():
    return [granu.PerturbationOffer(
        name="dying", summary="ends its process", make=Dying, options=Options, target="how", searched=False
    )]
"""


@pytest.fixture(autouse=True)
def world(tiny_place: Path, fake_plugin: Callable[..., Path]) -> None:
    """Install the tiny world and the perturbation that dies."""
    fake_plugin("dying", DYING)


def lines(folder: str) -> list[str]:
    return sorted((Path(folder) / "trials.jsonl").read_text().splitlines())


def pngs(folder: str) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in Path(folder).rglob("*.png")}


def attempts(log: str) -> int:
    return len(Path(log).read_text().splitlines())


def no_workers_are_left() -> bool:
    return not multiprocessing.active_children()


def test_workers_give_the_lines_records_and_images_of_one_process(run_of: RunOf) -> None:
    request = {"classifiers": ("tiny-classifier", *CLASSIFIER), "judges": CLASSIFIER, "count": 6, "batch": 2, "keep": 3}
    perturbations = ("tiny:layer1,samples=5,steps=5", "pixel:l2,steps=5", "frequency:start=9")
    serial = run_of(*perturbations, out="serial", **request)
    parallel = run_of(*perturbations, out="parallel", workers=3, **request)
    assert lines("parallel") == lines("serial") and len(lines("serial")) == 24
    for name in ("perturbations", "classifiers", "seed", "precision"):
        assert getattr(parallel.record, name) == getattr(serial.record, name)
    assert sorted(parallel.record.failures, key=str) == sorted(serial.record.failures, key=str) != []
    assert pngs("parallel") == pngs("serial") != {}
    assert no_workers_are_left()


def test_an_item_whose_worker_dies_is_tried_again_and_then_recorded_as_failed_while_the_others_go_on(
    run_of: RunOf,
) -> None:
    always = ("dying:kill,log=a,times=9", "dying:memory,log=b,times=9")
    once = ("dying:exit,log=c",)
    run = run_of(*once, *always, classifiers=CLASSIFIER, data="tiny", count=6, batch=2, workers=2)
    images = {key: sorted(trial.image for trial in run.trials if trial.perturbation == key) for key in (*once, *always)}
    everything = [f"tiny#{n}" for n in range(6)]
    assert images == {key: everything if key in once else everything[:2] + everything[4:] for key in images}
    failures = {failure.perturbation: failure for failure in read_run(Path("run")).record.failures}
    assert {key: failure.reason for key, failure in failures.items()} == {
        always[0]: "the worker process died twice at this item (killed by SIGKILL; if memory ran out, use a smaller "
        "--batch or fewer --workers)",
        always[1]: OUT_OF_MEMORY["memory"],
    }
    assert all((failure.images, failure.plugin) == (2, "dying") for failure in failures.values())
    assert [attempts(log) for log in "abc"] == [2, 2, 2]
    assert no_workers_are_left()


OUT_OF_MEMORY = {
    "memory": "memory ran out (not enough of it); use a smaller --batch or fewer --workers",
    "raise": "memory ran out (CUDA out of memory. Tried to allocate 2 GiB); use a smaller --batch or fewer --workers",
}


@pytest.mark.parametrize("how", OUT_OF_MEMORY)
def test_without_workers_an_item_that_runs_out_of_memory_fails_alone(run_of: RunOf, how: str) -> None:
    run = run_of(f"dying:{how},times=9", classifiers=CLASSIFIER, data="tiny", count=6, batch=2)
    assert sorted(trial.image for trial in run.trials) == ["tiny#0", "tiny#1", "tiny#4", "tiny#5"]
    (failure,) = run.record.failures
    assert failure.reason == OUT_OF_MEMORY[how] and failure.images == 2 and attempts("attempts") == 1


def test_the_same_command_measures_what_failed(run_of: RunOf) -> None:
    request = {"classifiers": CLASSIFIER, "data": "tiny", "count": 6, "batch": 2}
    run_of("dying:memory,times=1", **request)
    run = run_of("dying:memory,times=1", **request)
    assert len(run.trials) == 6 and run.record.failures == []


# signals

SLEEP, SITES = "dying:sleep,image=tiny#1", "tiny:all,samples=5"
SLOW = (
    "eval", "-p", SLEEP, "-p", SITES, "-c", "tiny-classifier:linear", "--data", "tiny", "--count", "8",
    "--batch", "2", "--workers", "2", "--out", "run",
)  # fmt: skip


@pytest.fixture
def interrupted(granu_process: Callable[..., subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """A command in the middle: one of its two workers sleeps for ten minutes, the other has measured something.

    It leads a process group, as a command in a terminal does.
    """
    process = granu_process(*SLOW, before="import os; os.setsid()")
    wait_until(lambda: written() >= 2 and Path("attempts").exists(), "the run wrote nothing")
    return process


def test_ctrl_c_ends_the_workers_without_a_traceback_and_keeps_what_was_measured(
    interrupted: subprocess.Popen[str],
) -> None:
    os.killpg(interrupted.pid, signal.SIGINT)
    _, message = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130 and "--out run" in message and "Traceback" not in message, message
    wait_until(lambda: group_is_empty(interrupted.pid), "a worker is left")
    assert len(read_run(Path("run")).trials) >= 2


def test_kill_9_of_a_run_leaves_no_workers_and_the_same_command_completes_it(
    interrupted: subprocess.Popen[str], run_of: RunOf
) -> None:
    interrupted.kill()
    interrupted.communicate(timeout=60)
    wait_until(lambda: group_is_empty(interrupted.pid), "a worker is left")
    before = (Path("run") / "trials.jsonl").read_bytes()
    request = {"classifiers": CLASSIFIER, "data": "tiny", "count": 8, "batch": 2}
    complete = run_of(SLEEP, SITES, **request)
    run_of(SLEEP, SITES, out="whole", **request)
    assert (Path("run") / "trials.jsonl").read_bytes().startswith(before)
    assert lines("run") == lines("whole") and len(complete.trials) == 5 * 8


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def group_is_empty(leader: int) -> bool:
    """True if no process of a group is alive, its leader aside."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group) == leader and state != "Z" and int(folder.name) != leader:
            return False
    return True


def written(folder: str = "run") -> int:
    file = Path(folder) / "trials.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0
