"""Does the granularity profile of the same two classifiers depend on which generator draws the digits?

Measures the standard classifier and its L2-trained twin at sites of the shipped StyleGAN2 and the shipped BigGAN whose
feature maps have the same height and width (repeat the command to resume it). Prints, side by side, the paired ratio of
smallest sizes (L2-trained over standard) with its interval, and at the end the rank correlation of the two columns,
which is 1 if both families put the sites into the same order.

    python examples/two_generators.py --count 50 --out runs/two-generators
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import granu

STANDARD, TWIN = "zoo:mnist-cnn", "zoo:mnist-cnn-l2"
SITES = {
    "latent": ("stylegan:z", "biggan:z"),
    "4 x 4": ("stylegan:layer0", "biggan:linear"),
    "8 x 8": ("stylegan:layer2", "biggan:layer0"),
    "16 x 16": ("stylegan:layer4", "biggan:layer2"),
    "32 x 32": ("stylegan:layer6", "biggan:layer3"),
    "pixels": ("stylegan:image", "biggan:image"),
}


def main() -> None:
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--samples", default="200", help="clean samples per class that measure deviations")
    parser.add_argument("--out", default="runs/two-generators", type=Path)
    arguments = parser.parse_args()
    columns = [measure(arguments, family) for family in (0, 1)]
    print(f"{'':16} {'StyleGAN2':>24} {'BigGAN':>24}")
    for name, *ratios in zip(SITES, *columns, strict=True):
        print(f"{name:16} " + " ".join(f"{summary(ratio):>24}" for ratio in ratios))
    values = [[ratio.value for ratio in column if ratio] for column in columns]
    print(f"rank correlation of the two orders: {spearmanr(*values).statistic:.2f}")


def measure(arguments: argparse.Namespace, family: int) -> list[Any]:
    """The ratio of sizes at one family's sites, in the order of SITES."""
    specs = [f"{pair[family]},samples={arguments.samples}" for pair in SITES.values()]
    out = arguments.out / ("stylegan", "biggan")[family]
    run = granu.evaluate(specs, [STANDARD, TWIN], count=arguments.count, out=out)
    compared = granu.compare(run, classifier=STANDARD, versus=TWIN)
    sizes = {comparison.perturbation: comparison.sizes for comparison in compared.comparisons}
    return [sizes[spec] for spec in specs]


def summary(ratio: Any) -> str:
    if ratio is None or ratio.value is None:
        return "no pairs"
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] of {ratio.pairs}"


if __name__ == "__main__":
    main()
