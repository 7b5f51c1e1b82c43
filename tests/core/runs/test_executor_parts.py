"""The parts of executors without processes: workers are threads here, so that each answer is given on purpose."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

from granu import GranuError
from granu.runs import executors
from granu.runs.executors import ProcessExecutor, SerialExecutor
from granu.runs.work import Failure, Outcome, WorkItem

ITEMS = [WorkItem("pixel", "net", (n,)) for n in range(5)]
DEATH = "the worker process died twice at this item ({})"
CURE = "use a smaller --batch or fewer --workers"
NOT_STARTED = (
    "a worker process could not start; a script that asks for workers must do so under `if __name__ == '__main__':`, "
    "since every worker imports it"
)


class Process:
    """Stands for a worker's process that has ended with `exitcode`."""

    def __init__(self, exitcode: int | None = None) -> None:
        self.exitcode, self.calls = exitcode, list[str]()

    def kill(self) -> None:
        self.calls.append("kill")

    def join(self) -> None:
        self.calls.append("join")


Answer = Callable[[WorkItem], Any]


class Threads(ProcessExecutor):
    """Starts threads that answer items by a function; one that returns None ends its worker."""

    def __init__(self, answer: Answer, workers: int, exitcode: int = -9, greets: bool = True) -> None:
        super().__init__(lambda: pytest.fail("no workbench is needed"), workers)
        self.answer, self.exitcode, self.greets = answer, exitcode, greets
        self.started: list[executors._Worker] = []

    def _start(self) -> executors._Worker:
        ours, theirs = multiprocessing.Pipe()

        def serve() -> None:
            with theirs:
                if self.greets:
                    theirs.send(None)
                try:
                    while (answer := self.answer(theirs.recv())) is not None:
                        theirs.send(answer)
                except (EOFError, OSError):
                    return

        threading.Thread(target=serve, daemon=True).start()
        worker = executors._Worker(Process(self.exitcode), ours)  # type: ignore[arg-type]
        self.started.append(worker)
        return worker

    def all_are_stopped(self) -> bool:
        return all(w.pipe.closed and w.process.calls[-2:] == ["kill", "join"] for w in self.started)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("workers", "items", "started"), [(1, 5, 1), (3, 5, 3), (9, 2, 2), (2, 0, 0)])
def test_each_item_is_computed_once_by_no_more_workers_than_items(workers: int, items: int, started: int) -> None:
    executor = Threads(Outcome, workers)
    outcomes = list(executor.map(ITEMS[:items]))
    assert sorted(o.item.positions for o in outcomes) == [item.positions for item in ITEMS[:items]]
    assert all(outcome.failure is None for outcome in outcomes)
    assert len(executor.started) == started and executor.all_are_stopped()


def test_one_worker_gives_outcomes_in_the_order_of_the_items() -> None:
    assert [outcome.item for outcome in Threads(Outcome, 1).map(ITEMS)] == ITEMS


def failing(item: WorkItem, times: int, how: Any = None) -> tuple[Answer, list[WorkItem]]:
    """An answer that fails `times` times at an item, and the items that were asked for."""
    asked: list[WorkItem] = []

    def answer(one: WorkItem) -> Any:
        asked.append(one)
        return how if one == item and asked.count(item) <= times else Outcome(one)

    return answer, asked


def test_an_item_whose_worker_dies_is_the_next_of_a_new_worker() -> None:
    answer, asked = failing(ITEMS[1], 1)
    executor = Threads(answer, 1)
    assert [o.item for o in executor.map(ITEMS)] == ITEMS and len(executor.started) == 2
    assert asked == [ITEMS[0], ITEMS[1], ITEMS[1], *ITEMS[2:]] and executor.all_are_stopped()


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        (None, -9, DEATH.format(f"killed by SIGKILL; if memory ran out, {CURE}")),
        (None, 3, DEATH.format("exit code 3")),
        (MemoryError("much\nand more"), 0, f"memory ran out (much); {CURE}"),
        (MemoryError(), 0, f"memory ran out (MemoryError); {CURE}"),
    ],
)
def test_an_item_that_fails_twice_is_recorded_and_the_others_go_on(how: Any, code: int, reason: str) -> None:
    answer, asked = failing(ITEMS[1], 2, how)
    executor = Threads(answer, 1, code)
    outcomes = list(executor.map(ITEMS))
    assert outcomes == [Outcome(i, failure=Failure(reason) if i == ITEMS[1] else None) for i in ITEMS]
    assert asked.count(ITEMS[1]) == 2 and len(asked) == 6 and len(executor.started) == 3
    assert executor.all_are_stopped()


def test_closing_the_iterator_stops_the_workers() -> None:
    never = threading.Event()

    def answer(item: WorkItem) -> Any:
        if item != ITEMS[0]:
            never.wait(30)
        return Outcome(item)

    executor = Threads(answer, 2)
    outcomes = executor.map(ITEMS)
    assert next(outcomes).item == ITEMS[0] and not any(worker.pipe.closed for worker in executor.started)
    outcomes.close()  # type: ignore[attr-defined]
    never.set()
    assert executor.all_are_stopped()


def test_a_worker_that_ends_before_it_has_started_is_a_mistake_of_the_script() -> None:
    executor = Threads(lambda item: None, 2, exitcode=1, greets=False)
    with pytest.raises(GranuError) as raised:
        list(executor.map(ITEMS))
    assert str(raised.value) == NOT_STARTED and executor.all_are_stopped()


@pytest.mark.parametrize("code", [-9, 0])
def test_a_worker_that_was_killed_before_it_had_started_is_tried_again(code: int) -> None:
    outcomes = list(Threads(lambda item: None, 1, exitcode=code, greets=False).map(ITEMS[:1]))
    ending = f"killed by SIGKILL; if memory ran out, {CURE}" if code else "exit code 0"
    assert outcomes == [Outcome(ITEMS[0], failure=Failure(DEATH.format(ending)))]


def test_an_item_sent_to_a_worker_that_is_gone_is_found_out_by_reading() -> None:
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    worker = executors._Worker(Process(-15), ours, ITEMS[0], started=True)  # type: ignore[arg-type]
    executors._send(worker, ITEMS[0])
    assert executors._receive(worker) == DEATH.format(f"killed by SIGTERM; if memory ran out, {CURE}")
    ours.close()


def test_without_processes_items_are_computed_in_order_and_memory_that_runs_out_fails_one() -> None:
    class Bench:
        def run(self, item: WorkItem) -> Outcome:
            if item == ITEMS[1]:
                raise MemoryError("all of it")
            return Outcome(item)

    outcomes = list(SerialExecutor(Bench()).map(ITEMS[:3]))  # type: ignore[arg-type]
    failure = Failure(f"memory ran out (all of it); {CURE}")
    assert outcomes == [Outcome(ITEMS[0]), Outcome(ITEMS[1], failure=failure), Outcome(ITEMS[2])]


@pytest.fixture
def mask() -> Iterator[None]:
    """Restore the signals that this thread blocks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_interrupts_are_blocked_while_a_worker_starts_and_as_before_afterwards(mask: None) -> None:
    before = blocked()
    with executors._interrupts_blocked():
        assert blocked() == before | {signal.SIGINT}
    assert blocked() == before
    with pytest.raises(ValueError, match="inside"), executors._interrupts_blocked():
        raise ValueError("inside")
    assert blocked() == before
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with executors._interrupts_blocked():
        pass
    assert signal.SIGINT in blocked()


def test_what_cannot_cross_processes_is_one_sentence_with_the_way_out() -> None:
    executor = ProcessExecutor(lambda: pytest.fail("it is never built"), 2)
    with pytest.raises(GranuError) as raised:
        list(executor.map(ITEMS))
    text = str(raised.value)
    assert text.startswith("this cannot be given to other processes (") and "\n" not in text
    assert text.endswith("); use workers=1, or name classifiers and data by specs")


class Counting:
    """A workbench that says how often one was built, and with how many threads torch computes."""

    built = 0

    def run(self, item: WorkItem) -> Outcome:
        import torch

        if item == ITEMS[1]:
            raise MemoryError("all of it")
        return Outcome(item, failure=Failure(f"{Counting.built} built, {torch.get_num_threads()} threads"))


def build_counting() -> Any:
    Counting.built += 1
    if Counting.built == 1:
        raise GranuError("its weights are lost")
    return Counting()


def serve_without(ours: Connection, theirs: Connection) -> None:
    """Serve with two threads; a forked process has the other end too, and would never see it closed."""
    ours.close()
    executors._serve(theirs, build_counting, 2)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of forking beside threads, from Python 3.12
def test_a_worker_builds_its_workbench_once_and_answers_until_the_pipe_closes() -> None:
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=serve_without, args=(ours, theirs), daemon=True)
    process.start()
    theirs.close()
    answers = [ours.recv()]
    for item in ITEMS[:4]:
        ours.send(item)
        assert ours.poll(30), "the worker answers every item"
        answers.append(ours.recv())
    ours.close()
    process.join(30)
    assert process.exitcode == 0
    started, lost, memory, *others = answers
    assert started is None and lost == Outcome(ITEMS[0], failure=Failure("its weights are lost"))
    assert isinstance(others[0], Outcome) and isinstance(memory, MemoryError) and str(memory) == "all of it"
    assert others == [Outcome(item, failure=Failure("2 built, 2 threads")) for item in ITEMS[2:4]]
