"""Time spent in the parts of a search, on the shipped StyleGAN2 and the standard classifier.

Prints, each as a ratio measured in this run: the share of a search's time spent in passes through generator and
classifier (gradient passes, verdicts, and once the generator before the site); the time of a gradient pass from a site
on (its tail) over the whole generator; images one by one over one batch. Then the peak memory of `granu eval` for
several `--count`.

    python examples/search_costs.py [--images 20] [--steps 60] [--counts 20 80 320]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from statistics import mean
from unittest.mock import patch

import torch

from granu import Batch, BuildContext, Criterion, Streams, load_catalog
from granu.runs.build import Builder
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.search.state import SearchState
from granu.spaces.sites import SitePerturbation

SITES = ("z", "layer0", "layer3", "layer6", "image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--counts", type=int, nargs="*", default=[20, 80, 320])
    arguments = parser.parse_args()
    measure_times(arguments.images, arguments.steps)
    print()
    for count in arguments.counts:
        print(f"peak memory of granu eval --count {count}: {peak_memory(count):.0f} MB", flush=True)


def measure_times(images: int, steps: int) -> None:
    """Print the three ratios of every site."""
    catalog = load_catalog()
    context = BuildContext(catalog)
    specs = tuple(f"stylegan:{site},steps={steps}" for site in SITES)
    plan = make_plan(catalog, context, Request(specs, judges=()))
    builder = Builder(plan, context)
    classifier = builder.classifier(plan.classifiers[0])
    (batch,) = builder.source(plan.perturbations[0].source).batches(range(images))
    assert isinstance(batch, Batch)
    criterion = Criterion(batch.labels)
    whole = 0.0
    print(f"{'site':8} {'in passes / search':>21} {'tail / whole generator':>23} {'one by one / batched':>21}")
    for planned in plan.perturbations:
        perturb = partial(builder.perturbation(planned).perturb, classifier)
        streams = Streams(0, batch.ids)
        generator = builder.generator(planned.source)
        space = SitePerturbation(generator, planned.sites, builder.statistics(planned)).open(classifier, batch, streams)
        batched = seconds(partial(perturb, batch, criterion, streams))
        in_passes = share_in_passes(partial(perturb, batch, criterion, streams))
        change = space.draw(torch.full((images,), 0.01), streams)
        one_pass = seconds(partial(SearchState(space, criterion).gradient, change), 5)
        whole = whole or one_pass  # the first site is z, whose tail is the whole generator
        singles = [batch.select(torch.tensor([i])) for i in range(min(5, images))]
        alone = mean(seconds(partial(perturb, one, Criterion(one.labels), Streams(0, one.ids))) for one in singles)
        print(
            f"{planned.sites[0].name:8} {in_passes:21.2f} {one_pass / whole:23.2f} {alone * images / batched:21.1f}",
            flush=True,
        )


def seconds(act: Callable[[], object], times: int = 1) -> float:
    """Mean seconds of a call, after one that warms up."""
    act()
    start = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - start) / times


def share_in_passes(act: Callable[[], object]) -> float:
    """The share of a search's time spent in the functions that run generator and classifier."""
    spent = 0.0

    def clocked(function: Callable[..., object]) -> Callable[..., object]:
        def run(*given: object, **named: object) -> object:
            nonlocal spent
            start = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                spent += time.perf_counter() - start

        return run

    with (
        patch.object(SearchState, "gradient", clocked(SearchState.gradient)),
        patch.object(SearchState, "judge", clocked(SearchState.judge)),
        patch.object(SitePerturbation, "open", clocked(SitePerturbation.open)),
    ):
        start = time.perf_counter()
        act()
        return spent / (time.perf_counter() - start)


def peak_memory(count: int) -> float:
    """Peak resident memory of `granu eval` in a process of its own, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["eval", "-p", "stylegan:layer6,steps=5", "--count", str(count), "--batch", "20", "--quiet"]
        command = [sys.executable, "-m", "granu", *words, "--out", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
