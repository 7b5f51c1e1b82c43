"""Where a search's time goes, on the shipped StyleGAN2 and the standard classifier.

Prints, each as a ratio measured in this run: the share of a search's time that is spent in passes through generator and
classifier (gradient passes, verdicts, and what lies before the site, once); the time of a gradient pass from a site on
(its tail) against the whole generator; one image at a time against one batch; and the peak memory of `granu eval` for
growing `--count`.

    python examples/search_costs.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch

from granu import Batch, BuildContext, Criterion, SearchState, Streams, load_catalog
from granu.runs.build import Builder
from granu.runs.plan import Request, make_plan
from granu.spaces.sites import SitePerturbation

COUNT, STEPS = 20, 60
SITES = ("z", "layer0", "layer3", "layer6", "image")


def main() -> None:
    catalog = load_catalog()
    context = BuildContext(catalog)
    specs = tuple(f"stylegan:{site},steps={STEPS}" for site in SITES)
    plan = make_plan(catalog, context, Request(specs, judges=()))
    builder = Builder(plan, context)
    classifier = builder.classifier(plan.classifiers[0])
    _, source = builder.source(plan.perturbations[0])
    (batch,) = source.batches(range(COUNT))
    assert isinstance(batch, Batch)
    criterion = Criterion(batch.labels)
    whole = None
    print(f"{'site':8} {'in passes / search':>21} {'tail / whole generator':>23} {'one by one / batched':>21}")
    for planned in plan.perturbations:
        searched = builder.perturbation(planned)
        perturbation = SitePerturbation(builder.generator("stylegan"), planned.sites, builder.statistics(planned))
        space = perturbation.open(classifier, batch, Streams(0, batch.ids))
        search = seconds(lambda: searched.perturb(classifier, batch, criterion, Streams(0, batch.ids)))  # noqa: B023
        in_passes = share_in_passes(lambda: searched.perturb(classifier, batch, criterion, Streams(0, batch.ids)))  # noqa: B023
        change = space.draw(torch.full((COUNT,), 0.01), Streams(0, batch.ids))
        one_pass = seconds(lambda: SearchState(space, criterion).gradient(change), 5)  # noqa: B023
        whole = whole or one_pass  # the first site is z, behind which lies the whole generator
        alone = sum(
            seconds(partial(searched.perturb, classifier, one := part(batch, i), Criterion(one.labels), streams(i)))
            for i in range(5)
        )
        print(
            f"{planned.sites[0].name:8} {in_passes:21.2f} {one_pass / whole:23.2f} {alone / 5 * COUNT / search:21.1f}",
            flush=True,
        )
    print()
    for count in (20, 80, 320):
        print(f"peak memory of granu eval --count {count}: {peak_memory(count):.0f} MB", flush=True)


def part(batch: Batch, i: int) -> Batch:
    index = torch.tensor([i])
    assert batch.latent is not None
    return Batch(batch.images[index], batch.labels[index], batch.ids[i : i + 1], batch.latent.select(index))


def streams(i: int) -> Streams:
    return Streams(0, [str(i)])


def seconds(act: Callable[[], object], times: int = 1) -> float:
    """Mean seconds of a call, after one that warms up."""
    act()
    start = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - start) / times


def share_in_passes(act: Callable[[], object]) -> float:
    """The share of a search that it spends in the functions that run generator and classifier."""
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
    """MB of the largest resident set of a run of its own."""
    with tempfile.TemporaryDirectory() as folder:
        granu = str(Path(sys.executable).with_name("granu"))
        words = ["eval", "-p", "stylegan:layer6,steps=5", "--count", str(count), "--batch", "20", "--quiet"]
        process = subprocess.Popen([granu, *words, "--out", folder], stdout=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
