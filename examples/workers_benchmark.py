"""Images per second of one process and of two worker processes, and their ratio, measured in one run.

Each computes on one torch thread, so that the ratio shows what a second process adds, and not what threads lose. The
standard deviations at the site are measured before, and time runs from when every process has delivered its first
batch, so that neither the cache nor the start of Python counts. Expect about 1.8 on two idle cores; processes that
share cores with other programs, or memory bandwidth with each other, gain less.

    python examples/workers_benchmark.py [--images 120] [--perturb stylegan:layer6] [--workers 2]
"""

from __future__ import annotations

import argparse
import time

import torch

import granu

BATCH = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--perturb", default="stylegan:layer6")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # of this process; workers have one thread by default
    granu.evaluate(f"{arguments.perturb},steps=1", count=10, batch=BATCH)  # one image of each class fills the cache
    alone, expected = measure(arguments.perturb, arguments.images, 1)
    shared, trials = measure(arguments.perturb, arguments.images, arguments.workers)
    print(f"1 process: {alone:.2f} images per second; {arguments.workers} workers: {shared:.2f}")
    print(f"ratio: {shared / alone:.2f}")
    print(f"the same trials: {'yes' if trials == expected else 'no'}")


def measure(perturb: str, images: int, workers: int) -> tuple[float, list[str]]:
    """Images per second once all processes have started, and the lines of the trials."""
    ends: list[tuple[float, int]] = []

    def note(done: int, total: int, what: str) -> None:
        if done:
            ends.append((time.monotonic(), done))

    run = granu.evaluate(perturb, count=images, batch=BATCH, keep=0, workers=workers, progress=note)
    (start, before), (end, done) = ends[workers - 1], ends[-1]
    return (done - before) / (end - start), sorted(trial.line() for trial in run.trials)


if __name__ == "__main__":
    main()
