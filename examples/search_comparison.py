"""`smallest` against `paper` at equal numbers of gradient passes.

For some sites of the shipped StyleGAN2 and the standard classifier: median smallest size (not found counts as
infinite), images not found, and mean gradient passes, for both searches at the same `steps` and the same margin.

    python examples/search_comparison.py --count 50 --steps 100 400
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean, median

from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.evaluate import evaluate
from granu.runs.folder import open_run
from granu.runs.plan import Request, make_plan
from granu.runs.trials import Trial

SITES = ("z", "w", "layer0", "layer2", "layer4", "layer6", "image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 400])
    given = parser.parse_args()
    print(f"{'site':8} {'steps':>5}  {'smallest: median':>16} {'missed':>6} {'passes':>6}", end="")
    print(f"  {'paper: median':>13} {'missed':>6} {'passes':>6}  {'ratio':>5}")
    for site in SITES:
        for steps in given.steps:
            ours = measure(f"stylegan:{site},steps={steps},margin=0.001", given.count)
            theirs = measure(f"stylegan:{site},search=dunn2020,steps={steps},margin=0.001", given.count)
            one, other = middle(ours), middle(theirs)
            print(f"{site:8} {steps:5}  {one:16.4f} {missed(ours):6} {passes(ours):6.0f}", end="")
            print(f"  {other:13.4f} {missed(theirs):6} {passes(theirs):6.0f}  {other / one:5.2f}", flush=True)


def measure(spec: str, count: int) -> list[Trial]:
    """The counted trials of one perturbation on the standard classifier."""
    catalog = load_catalog()
    context = BuildContext(catalog)
    plan = make_plan(catalog, context, Request((spec,), judges=(), count=count, keep=0))
    with tempfile.TemporaryDirectory() as folder, open_run(Path(folder), plan.identity()) as run:
        evaluate(plan, context, run, lambda done, total, what: None)
        return [trial for trial in run.trials if trial.counts]


def middle(trials: list[Trial]) -> float:
    return median(float("inf") if trial.size is None else trial.size for trial in trials)


def missed(trials: list[Trial]) -> int:
    return sum(trial.size is None for trial in trials)


def passes(trials: list[Trial]) -> float:
    return mean(trial.backward for trial in trials)


if __name__ == "__main__":
    main()
