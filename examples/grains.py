"""Is the granularity profile of a classifier its own, or that of the generator that changes the images?

Measures the standard classifier of digits and its two adversarially trained twins along six sites, coarse to fine, of
four sources: the shipped StyleGAN2, BigGAN and diffusion model, each drawing its own digits, and the diffusion model on
held-out real digits that it encodes. Prints the paired ratios of smallest sizes (twin over standard) with 95 %
intervals, the rank correlations of the sources' orders, and the diffusion model's sizes on drawn and on real digits.
Repeat the command to resume it.

    python examples/grains.py --data FOLDER --count 20 --out runs/grains --figure docs/images/grains.svg

FOLDER holds mnist-test.parquet. About three quarters of an hour on one thread with the defaults, almost all of it in
the diffusion model.
"""

from __future__ import annotations

import argparse
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import granu
from granu_zoo.train.data import read_images
from granu_zoo.trained_on import MNIST

STANDARD, TWINS = "zoo:mnist-cnn", {"L2-trained": "zoo:mnist-cnn-l2", "L-infinity-trained": "zoo:mnist-cnn-linf"}
JUDGES = ["zoo:mnist-judge-resnet", "zoo:mnist-judge-mixer", "zoo:mnist-judge-l2"]
LEVELS = ("t1000", "t800", "t600", "t400", "t200", "image")
SOURCES = {
    "StyleGAN2": ("stylegan", ("z", "layer0", "layer2", "layer4", "layer6", "image")),
    "BigGAN": ("biggan", ("z", "linear", "layer0", "layer2", "layer3", "image")),
    "diffusion": ("diffusion", LEVELS),
    "diffusion, real digits": ("diffusion", LEVELS),
}
LARGEST = 20.0  # ratio that the figure shows; the larger ones are at its edge
DRAWN, REAL = "diffusion", "diffusion, real digits"


def main() -> None:
    arguments = parse()
    runs = {name: measure(name, arguments) for name in SOURCES if name in (arguments.source or SOURCES)}
    ratios = {
        (twin, source): ratios_of(run, spec) for source, run in runs.items() for twin, spec in TWINS.items()
    }  # in the order of the sites
    for twin in TWINS:
        print(f"\n{twin} over standard\n{'':24}" + "".join(f"{place:>22}" for place in ("coarsest", *"2345", "finest")))
        for source in runs:
            print(f"{source:24}" + "".join(f"{summary(ratio):>22}" for ratio in ratios[twin, source]))
    print_correlations(ratios, list(runs))
    if DRAWN in runs and REAL in runs:
        print_drawn_and_real(runs[DRAWN], runs[REAL])
    if arguments.figure:
        draw(ratios, list(runs), arguments.figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist-test.parquet")
    parser.add_argument("--source", action="append", choices=SOURCES, help="measure only this source; repeatable")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--steps", type=int, default=30, help="gradient steps of each search")
    parser.add_argument("--sampling-steps", type=int, default=10, help="of the diffusion model")
    parser.add_argument("--samples", type=int, default=20, help="clean images (per class where drawn) for deviations")
    parser.add_argument("--out", type=Path, default="runs/grains")
    parser.add_argument("--figure", type=Path)
    return parser.parse_args()


def measure(name: str, arguments: argparse.Namespace) -> granu.Run:
    """Measure all three classifiers at the six sites of one source."""
    generator, sites = SOURCES[name]
    real = name == REAL
    options = f"steps={arguments.steps},samples={arguments.samples * (10 if real else 1)}"
    if generator == "diffusion":
        options += f",sampling-steps={arguments.sampling_steps}" + (",iterations=10,tolerance=0.0001" if real else "")
    data = None
    if real:
        images, labels = read_images(arguments.data, MNIST, "test")
        data = images[: arguments.samples * 10], labels[: arguments.samples * 10]
    return granu.evaluate(
        [f"{generator}:{site},{options}" for site in sites],
        [STANDARD, *TWINS.values()],
        data,
        judges=JUDGES,
        count=arguments.count,
        out=arguments.out / name.replace(", ", "-").replace(" ", "-").lower(),
    )


def ratios_of(run: granu.Run, twin: str) -> list[Any]:
    """The paired ratio of sizes, twin over standard, of each perturbation in order."""
    compared = {c.perturbation: c.sizes for c in granu.compare(run, classifier=STANDARD, versus=twin).comparisons}
    return [compared[key] for key in run.record.perturbations]


def print_correlations(ratios: dict[tuple[str, str], list[Any]], sources: list[str]) -> None:
    """Print the rank correlation of the ratios with depth, and between each two sources."""
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    values = {key: [ratio.value for ratio in found] for key, found in ratios.items()}
    print(f"\nrank correlations of the ratios\n{'':52}" + "".join(f"{twin:>20}" for twin in TWINS))
    for source in sources:
        found = [spearmanr(range(len(LEVELS)), values[twin, source]).statistic for twin in TWINS]
        print(f"{source + ' with depth':52}" + "".join(f"{r:20.2f}" for r in found))
    for one, other in combinations(sources, 2):
        found = [spearmanr(values[twin, one], values[twin, other]).statistic for twin in TWINS]
        print(f"{one + ' with ' + other:52}" + "".join(f"{r:20.2f}" for r in found))


def print_drawn_and_real(drawn: granu.Run, real: granu.Run) -> None:
    """Print median sizes at each noise level on drawn and on real digits, and the rank correlation of all of them."""
    from scipy.stats import spearmanr

    print(f"\n{'median smallest size':40}" + "".join(f"{level:>9}" for level in LEVELS))
    medians: dict[str, list[float]] = {}
    for classifier in (STANDARD, *TWINS.values()):
        for what, run in (("drawn", drawn), ("real", real)):
            found = [row["size"] for row in run.to_dicts() if row["classifier"] == classifier]
            sizes = [math.inf if size is None else size for size in found]  # more than half were not found
            medians.setdefault(what, []).extend(sizes)
            print(f"{classifier + ', ' + what:40}" + "".join(f"{size:9.3f}" for size in sizes))
    result = spearmanr(medians["drawn"], medians["real"]).statistic
    print(f"rank correlation of drawn and real sizes, all sites and classifiers: {result:.2f}")


def draw(ratios: dict[tuple[str, str], list[Any]], sources: list[str], file: Path) -> None:
    """Draw the ratios of each twin against the relative depth of the site, a line per source."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, twin in zip(figure.subplots(1, 2, sharey=True), TWINS, strict=True):
        for number, source in enumerate(sources):
            found = ratios[twin, source]
            places = [place + 0.06 * (number - 1.5) for place in range(len(found))]
            low, value, high = (
                [min(max(getattr(ratio, end), 1 / LARGEST), LARGEST) for ratio in found]
                for end in ("low", "value", "high")
            )
            lengths = (
                [v - b for v, b in zip(value, low, strict=True)],
                [t - v for v, t in zip(value, high, strict=True)],
            )
            axes.errorbar(places, value, lengths, marker="o", ms=4, lw=1.2, label=source)
        axes.axhline(1, color="grey", lw=0.8)
        axes.set(title=f"{twin} / standard", xlabel="coarse → fine", yscale="log", xticks=[])
    figure.axes[0].set_ylabel("ratio of smallest sizes")
    figure.axes[0].legend(fontsize=8)
    figure.savefig(file)


def summary(ratio: Any) -> str:
    """A ratio with its interval."""
    if ratio is None or ratio.value is None:
        return "no pairs"
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


if __name__ == "__main__":
    main()
