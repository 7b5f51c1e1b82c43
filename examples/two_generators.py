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
    parser.add_argument("--count", default=50, type=int)
    parser.add_argument("--samples", default="200", help="clean samples per class that measure deviations")
    parser.add_argument("--out", default="runs/two-generators", type=Path)
    given = parser.parse_args()
    columns = [measure(given, family) for family in (0, 1)]
    print(f"\n{'':16} {'StyleGAN2':>24} {'BigGAN':>24}")
    for name, *cells in zip(SITES, *columns, strict=True):
        print(f"{name:16} " + " ".join(f"{ratio(cell):>24}" for cell in cells))
    ratios = [[cell["ratio"] for cell in column] for column in columns]
    print(f"rank correlation of the two orders: {spearmanr(*ratios).statistic:.2f}")


def measure(given: argparse.Namespace, family: int) -> list[dict[str, Any]]:
    """The comparison of both classifiers at one family's sites, in the order of SITES."""
    specs = [f"{pair[family]},samples={given.samples}" for pair in SITES.values()]
    out = given.out / ("stylegan", "biggan")[family]
    run = granu.evaluate(specs, [STANDARD, TWIN], count=given.count, out=out)
    print(run.table())
    return granu.compare(run, classifier=STANDARD, versus=TWIN).to_dicts()


def ratio(cell: dict[str, Any]) -> str:
    if cell["ratio"] is None:
        return "no pairs"
    return f"{cell['ratio']:.2f} [{cell['ratio_low']:.2f}, {cell['ratio_high']:.2f}] of {cell['ratio_pairs']}"


if __name__ == "__main__":
    main()
