"""Timing of two pieces of work in turn, for the scripts that compare their cost; prints nothing by itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def medians_in_turn(
    one: Callable[[], None], other: Callable[[], None], rounds: int, device: str
) -> tuple[float, float]:
    """Median seconds of both, timed alternately after a first time of each, since a busy machine slows both alike."""
    one()
    other()
    seconds = [(timed(one, device), timed(other, device)) for _ in range(rounds)]
    ours, theirs = zip(*seconds, strict=True)
    return statistics.median(ours), statistics.median(theirs)


def timed(work: Callable[[], None], device: str) -> float:
    """Seconds that `work` takes: of this process on a CPU, which other processes do not disturb, else of the clock."""
    if device == "cpu":
        started = time.process_time()
        work()
        return time.process_time() - started
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started
