"""`search=smallest` against `search=dunn2020` at equal numbers of gradient steps.

For some sites of the shipped StyleGAN2 and the standard classifier: median smallest size (infinite for an image for
which nothing was found), number of those images, and mean gradient passes, for both searches at the same `steps` and
the same margin.

    python examples/search_comparison.py --count 50 --steps 100 400
"""

from __future__ import annotations

import argparse
from statistics import mean, median

import granu

SITES = ("z", "w", "layer0", "layer2", "layer4", "layer6", "image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--sites", nargs="+", default=SITES)
    arguments = parser.parse_args()
    print(f"{'site':8} {'steps':>5}  {'smallest: median':>16} {'missed':>6} {'passes':>6}", end="")
    print(f"  {'dunn2020: median':>16} {'missed':>6} {'passes':>6}  {'ratio':>5}")
    for site in arguments.sites:
        for steps in arguments.steps:
            smallest = measure(f"stylegan:{site},steps={steps},margin=0.001", arguments.count)
            dunn2020 = measure(f"stylegan:{site},search=dunn2020,steps={steps},margin=0.001", arguments.count)
            size, other = median_size(smallest), median_size(dunn2020)
            print(f"{site:8} {steps:5}  {size:16.4f} {missed(smallest):6} {passes(smallest):6.0f}", end="")
            print(f"  {other:16.4f} {missed(dunn2020):6} {passes(dunn2020):6.0f}  {other / size:5.2f}", flush=True)


def measure(spec: str, count: int) -> granu.Run:
    """Measure one perturbation of the standard classifier."""
    return granu.evaluate(spec, judges=[], count=count, keep=0)


def median_size(run: granu.Run) -> float:
    return median(float("inf") if trial.size is None else trial.size for trial in run.trials if trial.counts)


def missed(run: granu.Run) -> int:
    return sum(trial.size is None for trial in run.trials if trial.counts)


def passes(run: granu.Run) -> float:
    return mean(trial.backward for trial in run.trials if trial.counts)


if __name__ == "__main__":
    main()
