"""Executors: worker processes give the lines of one process, and what dies loses only its item."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from granu import GranuError
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
        with Path("attempts").open("a") as stream:
            stream.write(f"{os.getpid()}\\n")
        return len(Path("attempts").read_text().splitlines())


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


def attempts() -> int:
    return len(Path("attempts").read_text().splitlines())


def no_workers_are_left() -> bool:
    return not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_give_the_lines_records_and_images_of_one_process(run_of: RunOf, workers: int) -> None:
    request = {"classifiers": ("tiny-classifier", *CLASSIFIER), "judges": CLASSIFIER, "count": 6, "batch": 2, "keep": 3}
    perturbations = ("tiny:layer1,samples=5,steps=5", "pixel:l2,steps=5", "frequency:start=9")
    serial = run_of(*perturbations, out="serial", **request)
    parallel = run_of(*perturbations, out="parallel", workers=workers, **request)
    assert lines("parallel") == lines("serial") and len(lines("serial")) == 24
    for name in ("perturbations", "classifiers", "seed", "precision"):
        assert getattr(parallel.record, name) == getattr(serial.record, name)
    assert sorted(parallel.record.failures, key=str) == sorted(serial.record.failures, key=str) != []
    images = [{f.relative_to(o): f.read_bytes() for f in Path(o).rglob("*.png")} for o in ("serial", "parallel")]
    assert images[0] == images[1] and images[0]
    assert no_workers_are_left()


@pytest.mark.parametrize(("how", "workers"), [("kill", 2), ("memory", 2)])
def test_an_item_whose_worker_dies_is_tried_again(run_of: RunOf, how: str, workers: int) -> None:
    run = run_of(f"dying:{how},times=1", classifiers=CLASSIFIER, data="tiny", count=6, batch=2, workers=workers)
    assert len(run.trials) == 6 and run.record.failures == [] and attempts() == 2
    assert no_workers_are_left()


REASONS = {
    "kill": "the worker process died twice at this item (killed by SIGKILL; if memory ran out, use a smaller --batch or "
    "fewer --workers)",
    "memory": "memory ran out (not enough of it); use a smaller --batch or fewer --workers",
    "raise": "memory ran out (CUDA out of memory. Tried to allocate 2 GiB); use a smaller --batch or fewer --workers",
    "exit": "the worker process died twice at this item (exit code 3)",
}


@pytest.mark.parametrize("how", REASONS)
def test_an_item_whose_workers_die_twice_is_recorded_as_failed_and_the_others_are_measured(
    run_of: RunOf, how: str
) -> None:
    run = run_of(f"dying:{how},times=9", classifiers=CLASSIFIER, data="tiny", count=6, batch=2, workers=2)
    assert sorted(trial.image for trial in run.trials) == ["tiny#0", "tiny#1", "tiny#4", "tiny#5"]
    (failure,) = read_run(Path("run")).record.failures
    assert (failure.perturbation, failure.reason) == (f"dying:{how},times=9", REASONS[how])
    assert failure.images == 2 and failure.plugin == "dying" and attempts() == 2
    assert no_workers_are_left()


@pytest.mark.parametrize("how", ["memory", "raise"])
def test_without_workers_an_item_that_runs_out_of_memory_fails_alone(run_of: RunOf, how: str) -> None:
    run = run_of(f"dying:{how},times=9", classifiers=CLASSIFIER, data="tiny", count=6, batch=2)
    assert sorted(trial.image for trial in run.trials) == ["tiny#0", "tiny#1", "tiny#4", "tiny#5"]
    (failure,) = run.record.failures
    assert failure.reason == REASONS[how] and failure.images == 2 and attempts() == 1


def test_the_same_command_measures_what_failed(run_of: RunOf) -> None:
    request = {"classifiers": CLASSIFIER, "data": "tiny", "count": 6, "batch": 2}
    run_of("dying:memory,times=1", **request)
    run = run_of("dying:memory,times=1", **request)
    assert len(run.trials) == 6 and run.record.failures == []


def test_a_progress_that_raises_ends_the_workers(run_of: RunOf) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int, what: str) -> None:
        if done:
            raise Enough

    with pytest.raises(Enough):
        run_of("dying:nothing", classifiers=CLASSIFIER, data="tiny", count=6, batch=2, workers=2, progress=stop)
    assert no_workers_are_left() and len(read_run(Path("run")).trials) == 2


# signals

MAIN = """
import sys
from pathlib import Path
from granu import api

if __name__ == "__main__":
    api.evaluate(
        ["tiny:all,samples=5", "dying:sleep,image=tiny#1"], ["tiny-classifier:linear"], "tiny", count=40, batch=2,
        out="run", workers=2,
    )
"""


def start(tmp_path: Path) -> subprocess.Popen[str]:
    """A script with two workers, the leader of a process group of its own, as a terminal starts a command."""
    script = tmp_path / "script.py"
    script.write_text(MAIN)
    path = os.pathsep.join([str(tmp_path / "made-up-plugins"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path, text=True,
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def group_is_empty(leader: int) -> bool:
    """Whether no process of a group is alive, its leader aside."""
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
