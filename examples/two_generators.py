"""Does the granularity profile of the same two classifiers depend on which generator draws the digits?

Measures the standard classifier and its L2-trained twin at sites of the shipped StyleGAN2 and the shipped BigGAN whose
feature maps have the same height and width (repeat the command to resume it). Prints, side by side, the paired ratio of
smallest sizes (L2-trained over standard) with its interval, and at the end the rank correlation of the two columns,
which is 1 if both families put the sites into the same order.

    python examples/two_generators.py --count 50 --out runs/two-generators
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import granu
from granu.report.comparison import Comparison

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
    parser.add_argument("--count", default="50")
    parser.add_argument("--samples", default="200", help="clean samples per class that measure deviations")
    parser.add_argument("--out", default="runs/two-generators", type=Path)
    given = parser.parse_args()
    columns = [measure(given, family) for family in (0, 1)]
    print(f"\n{'':16} {'StyleGAN2':>24} {'BigGAN':>24}")
    for name, *cells in zip(SITES, *columns, strict=True):
        print(f"{name:16} " + " ".join(f"{ratio(cell):>24}" for cell in cells))
    ratios = [[cell.sizes.value for cell in column if cell.sizes] for column in columns]
    print(f"rank correlation of the two orders: {spearmanr(*ratios).statistic:.2f}")


def measure(given: argparse.Namespace, family: int) -> list[Comparison]:
    """One family's sites, in the order of SITES."""
    specs = [f"{pair[family]},samples={given.samples}" for pair in SITES.values()]
    out = given.out / ("stylegan", "biggan")[family]
    command = [str(Path(sys.executable).with_name("granu")), "eval", "-c", STANDARD, "-c", TWIN]
    for spec in specs:
        command += ["-p", spec]
    subprocess.run([*command, "--count", given.count, "--out", str(out)], check=True)
    result = granu.compare(out, classifier=STANDARD, versus=TWIN)
    found = {comparison.perturbation: comparison for comparison in result.comparisons}
    return [found[spec] for spec in specs]


def ratio(cell: Comparison) -> str:
    """The ratio of sizes with its interval and its number of pairs."""
    if cell.sizes is None or cell.sizes.value is None:
        return "no pairs"
    return f"{cell.sizes.value:.2f} [{cell.sizes.low:.2f}, {cell.sizes.high:.2f}] of {cell.sizes.pairs}"


if __name__ == "__main__":
    main()
