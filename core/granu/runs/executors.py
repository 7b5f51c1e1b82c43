"""Executors: who computes the items of a run, in which process. Each yields outcomes in any order."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from granu.errors import GranuError
from granu.runs.problems import first_line
from granu.runs.work import Failure, Outcome, Workbench, WorkItem

ATTEMPTS = 2  # of an item whose worker died or ran out of memory, before it is recorded as failed


class Executor(Protocol):
    """Computes items; `map` may be given them all at once and yields one outcome for each, in any order."""

    def map(self, items: Sequence[WorkItem]) -> Iterator[Outcome]: ...


class SerialExecutor:
    """Computes items one after another in this process."""

    def __init__(self, workbench: Workbench) -> None:
        self.workbench = workbench

    def map(self, items: Sequence[WorkItem]) -> Iterator[Outcome]:
        """Outcomes in the order of the items."""
        for item in items:
            try:
                yield self.workbench.run(item)
            except MemoryError as problem:
                yield Outcome(item, failure=Failure(_out_of_memory(problem)))


@dataclass
class _Worker:
    """A process, our end of its pipe, the item that it is computing, and whether it has started."""

    process: BaseProcess
    pipe: Connection
    item: WorkItem | None = None
    started: bool = False


class ProcessExecutor:
    """Computes items in local processes, each with a workbench of its own.

    `build` makes the workbench and must be picklable. A worker that dies or runs out of memory loses only its item,
    which is computed again by a new worker, and recorded as failed where that dies too.
    """

    def __init__(self, build: Callable[[], Workbench], workers: int, threads: int = 1) -> None:
        self.build, self.workers, self.threads = build, workers, threads

    def map(self, items: Sequence[WorkItem]) -> Iterator[Outcome]:
        """Outcomes as they are ready. Workers are stopped when the iterator is closed."""
        waiting, attempts = deque(items), dict.fromkeys(items, 0)
        workers: list[_Worker] = []
        try:
            while waiting or any(worker.item for worker in workers):
                while waiting and len(workers) < min(self.workers, len(items)):
                    workers.append(self._start())
                for worker in workers:
                    if worker.item is None and waiting:
                        worker.item = waiting.popleft()
                        _send(worker, worker.item)
                for worker in _answering(workers):
                    item = worker.item
                    assert item is not None
                    answer = _receive(worker)
                    if answer is None:
                        continue
                    if isinstance(answer, Outcome):
                        worker.item = None
                        yield answer
                        continue
                    workers.remove(worker)
                    _stop(worker)
                    attempts[item] += 1
                    if attempts[item] < ATTEMPTS:
                        waiting.appendleft(item)
                    else:
                        yield Outcome(item, failure=Failure(answer))
        finally:
            for worker in workers:
                _stop(worker)

    def _start(self) -> _Worker:
        # spawn: a forked child would inherit locks that torch's threads hold
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(theirs, self.build, self.threads), daemon=True)
        try:
            with _interrupts_blocked():
                process.start()
        except Exception as problem:  # what pickle raises depends on what it meets
            raise GranuError(
                f"this cannot be given to other processes ({first_line(problem)}); use workers=1, or name classifiers "
                "and data by specs"
            ) from problem
        theirs.close()
        return _Worker(process, ours)


def _serve(pipe: Connection, build: Callable[[], Workbench], threads: int) -> None:
    """The life of a worker: build the workbench when the first item comes, then compute until the pipe closes."""
    import torch

    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    workbench: Workbench | None = None
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        pipe.send(None)  # it has started
        while True:
            item = pipe.recv()
            try:
                workbench = workbench or build()
                answer: Outcome | MemoryError = workbench.run(item)
            except MemoryError as problem:
                answer = problem
            except GranuError as problem:
                answer = Outcome(item, failure=Failure(str(problem)))
            pipe.send(answer)


def _end_with_parent() -> None:
    """End this worker when the parent is gone, even if it was killed while an item is computed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is a child process"
    wait([parent.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT, also for processes started meanwhile: Ctrl-C reaches the whole group, and the parent decides."""
    resource_tracker.ensure_running()  # the first process would start it, which unblocks SIGINT again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answering(workers: Sequence[_Worker]) -> list[_Worker]:
    """The busy workers that have answered or died; waits for the first."""
    busy = {worker.pipe: worker for worker in workers if worker.item}
    return [busy[pipe] for pipe in wait(list(busy)) if isinstance(pipe, Connection)]


def _send(worker: _Worker, item: WorkItem) -> None:
    with contextlib.suppress(OSError):  # it died meanwhile; reading from it says so
        worker.pipe.send(item)


def _receive(worker: _Worker) -> Outcome | str | None:
    """The outcome, or the reason why there is none and the worker must go; None where it says that it has started."""
    try:
        answer = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        if not worker.started and (worker.process.exitcode or 0) > 0:
            raise GranuError(
                "a worker process could not start; a script that asks for workers must do so under "
                "`if __name__ == '__main__':`, since every worker imports it"
            ) from None
        return f"the worker process died twice at this item ({_exit(worker.process.exitcode)})"
    worker.started = True
    return _out_of_memory(answer) if isinstance(answer, MemoryError) else answer


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}; if memory ran out, use a smaller --batch or fewer --workers"
    return f"exit code {code}"


def _out_of_memory(problem: MemoryError) -> str:
    return f"memory ran out ({first_line(problem)}); use a smaller --batch or fewer --workers"


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.kill()
    worker.process.join()
