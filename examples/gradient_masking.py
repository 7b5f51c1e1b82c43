"""Signs of masked gradients: attacks of one size, weak to strong, with and without gradients, and at larger sizes.

A defense that only hides the gradient looks robust to attacks that follow it. Athalye et al. 2018 (section 3.1) and
Carlini et al. 2019 name the signs: attacks without gradients find what those with gradients miss, more steps find less,
and success does not reach all images as the size grows. For each attack: robust accuracy, images fooled, passes. Then
one line for each sign.

    python examples/gradient_masking.py --classifier zoo:mnist-cnn-linf --perturb pixel:linf --budget 0.2 --data biggan

`--data` may be left out; images then come from granu's generator. A site of a generator, such as `stylegan:layer3`,
draws its own; name a site of another generator as a second `--perturb`, with its `--budget`, to see whether robustness
carries over.
"""

from __future__ import annotations

import argparse

import granu

STEPS = (5, 20, 100)
GROWTH = (2, 4, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", required=True)
    parser.add_argument("--perturb", action="append", required=True, help="a space of changes, without a search")
    parser.add_argument("--budget", action="append", type=float, required=True, help="its size, one for each --perturb")
    parser.add_argument("--data")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--effort", default="standard", help="of search=worst")
    arguments = parser.parse_args()
    for perturb, budget in zip(arguments.perturb, arguments.budget, strict=True):
        print(f"{arguments.classifier} under {perturb} of size {budget:g}")
        report(measure(arguments, perturb, attacks(budget, arguments.effort)))


def attacks(budget: float, effort: str) -> dict[str, str]:
    """Options of every attack by its name, weak to strong."""
    return {
        "random": f"search=random,budget={budget}",
        "no gradients": f"search=worst,gradients=no,effort={effort},budget={budget}",
        **{f"{steps} steps": f"search=pgd,steps={steps},budget={budget}" for steps in STEPS},
        "ensemble": f"search=worst,effort={effort},budget={budget}",
        **{f"{factor} x the size": f"search=pgd,steps=20,budget={factor * budget}" for factor in GROWTH},
    }


def measure(arguments: argparse.Namespace, perturb: str, chosen: dict[str, str]) -> dict[str, dict[str, str]]:
    """The outcome of each image under each attack, by the attack's name."""
    joint = "," if ":" in perturb else ":"
    outcomes: dict[str, dict[str, str]] = {}
    print(f"{'attack':14} {'accuracy %':>10} {'fooled':>7} {'of':>4} {'passes':>7}")
    for name, options in chosen.items():
        spec = f"{perturb}{joint}{options}"
        run = granu.evaluate(spec, arguments.classifier, arguments.data, judges=[], count=arguments.count, keep=0)
        trials = [trial for trial in run.trials if trial.outcome != "unreadable"]
        fooled = sum(trial.outcome == "found" for trial in trials)
        counted = [trial for trial in trials if trial.counts]
        passes = sum(trial.forward + trial.backward for trial in counted) / max(len(counted), 1)
        accuracy = 100 * (len(counted) - fooled) / max(len(trials), 1)
        print(f"{name:14} {accuracy:10.1f} {fooled:7} {len(counted):4} {passes:7.0f}", flush=True)
        outcomes[name] = {trial.image: trial.outcome for trial in counted}
    return outcomes


def report(outcomes: dict[str, dict[str, str]]) -> None:
    """A line for each sign."""
    followed = [f"{steps} steps" for steps in STEPS]  # the ensemble ends without gradients
    blind = fooled(outcomes, "random", "no gradients") - fooled(outcomes, *followed)
    print(f"fooled without gradients and not with them: {len(blind)} images; masked gradients leave many")
    few, many = fooled(outcomes, f"{STEPS[0]} steps"), fooled(outcomes, f"{STEPS[-1]} steps")
    print(f"fooled in {STEPS[0]} steps and not in {STEPS[-1]}: {len(few - many)} images; more steps should find more")
    missed = fooled(outcomes, "ensemble") - many
    print(f"fooled by the ensemble and not in {STEPS[-1]} steps: {len(missed)} images; do not report the weaker attack")
    largest = f"{GROWTH[-1]} x the size"
    held = len(set(outcomes[largest]) - fooled(outcomes, largest))
    print(f"not fooled at {GROWTH[-1]} times the size: {held} images; where a change can do anything, none should hold")
    stuck = {image for name in followed for image, outcome in outcomes[name].items() if outcome == "failed"}
    print(f"without a usable gradient: {len(stuck)} images")


def fooled(outcomes: dict[str, dict[str, str]], *names: str) -> set[str]:
    return {image for name in names for image, outcome in outcomes[name].items() if outcome == "found"}


if __name__ == "__main__":
    main()
