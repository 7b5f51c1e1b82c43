"""Excess of an L2 change's file over its budget: what rounding to 8 bits adds, median and largest over found changes.

The changes are those of `search=worst,effort=quick`, which spends its budget, on digits that the shipped StyleGAN2
draws; about two minutes on one thread, no data.

    python examples/budget_rounding.py [--count 50] [--budgets 0.5 1 2]
"""

from __future__ import annotations

import argparse
import statistics

import granu

CLASSIFIERS = ("zoo:mnist-cnn", "zoo:mnist-cnn-l2", "zoo:mnist-cnn-linf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--budgets", type=float, nargs="+", default=(0.5, 1.0, 2.0))
    arguments = parser.parse_args()
    print("budget  found  median  largest")
    for budget in arguments.budgets:
        change = f"pixel:l2,search=worst,budget={budget:g},effort=quick"
        run = granu.evaluate(change, list(CLASSIFIERS), judges=[], count=arguments.count, keep=0)
        excess = [trial.l2 / budget - 1 for trial in run.trials if trial.outcome == "found" and trial.l2 is not None]
        print(f"{budget:6g} {len(excess):6} {statistics.median(excess):7.2%} {max(excess):8.2%}", flush=True)


if __name__ == "__main__":
    main()
