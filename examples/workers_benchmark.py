"""Images per second of `granu eval` with one worker process and with two, and their ratio, measured in one run.

Both are worker processes of one torch thread each, so that the ratio shows what a second process adds and not what
threads lose. The standard deviations of the sites are measured before, and time runs from when every worker has
delivered its first item, so that neither the cache nor the start of Python counts. Expect about 1.8 on two idle cores;
workers that share cores with other programs, or memory bandwidth with each other, gain less.

    python examples/workers_benchmark.py [--images 120] [--perturb stylegan:layer6] [--workers 1 2]
"""

from __future__ import annotations

import argparse
import time

from granu import BuildContext, load_catalog
from granu.runs.build import Builder
from granu.runs.evaluate import WorkbenchRecipe
from granu.runs.executors import ProcessExecutor
from granu.runs.plan import EvalPlan, Request
from granu.runs.planning import make_plan
from granu.runs.trials import Trial
from granu.runs.work import Workbench, WorkItem

BATCH = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--perturb", default="stylegan:layer6")
    parser.add_argument("--workers", type=int, nargs=2, default=[1, 2])
    arguments = parser.parse_args()
    context = BuildContext(load_catalog())
    request = Request((arguments.perturb,), count=arguments.images, batch=BATCH, keep=0)
    plan = make_plan(context.catalog, context, request)
    warm_cache(plan, context)
    speeds, trials = zip(*(measure(plan, context, workers) for workers in arguments.workers), strict=True)
    few, many = arguments.workers
    print(f"{few} worker{'s' * (few > 1)}: {speeds[0]:.2f} images per second; {many} workers: {speeds[1]:.2f}")
    print(f"ratio: {speeds[1] / speeds[0]:.2f}")
    print(f"the same trials: {trials[0] == trials[1]}")


def items_of(plan: EvalPlan) -> list[WorkItem]:
    """The images in batches."""
    (perturbation,), (classifier,) = plan.perturbations, plan.classifiers
    starts = range(0, plan.request.count, BATCH)
    return [
        WorkItem(perturbation.key, str(classifier.spec), tuple(range(start, min(start + BATCH, plan.request.count))))
        for start in starts
    ]


def warm_cache(plan: EvalPlan, context: BuildContext) -> None:
    """Compute the first items of all classes here, which measures the deviations at the sites."""
    workbench = Workbench(plan, Builder(plan, context))
    for item in items_of(plan)[:2]:
        workbench.run(item)


def measure(plan: EvalPlan, context: BuildContext, workers: int) -> tuple[float, list[Trial]]:
    """Images per second once all workers have started, and the trials in the order of their images."""
    executor = ProcessExecutor(WorkbenchRecipe(plan.request, {}, context), workers)
    ends: list[float] = []
    trials: list[Trial] = []
    for outcome in executor.map(items_of(plan)):
        assert outcome.failure is None, outcome.failure
        ends.append(time.monotonic())
        trials += outcome.trials
    images = BATCH * (len(ends) - workers)
    return images / (ends[-1] - ends[workers - 1]), sorted(trials, key=lambda trial: trial.image)


if __name__ == "__main__":
    main()
