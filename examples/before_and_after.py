"""The effect of training: the same measurements of a classifier before and after three trainings, in one table.

Trains the zoo's standard classifier of digits further, for equal numbers of images: plainly (the control), with PRIME,
and adversarially against pixel L2. The training images are drawn by the shipped BigGAN, those of the measurements by
the shipped StyleGAN2, so nothing is downloaded. Repeat the command to resume it.

    python examples/before_and_after.py --out runs/hardened
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

STANDARD = "zoo:mnist-cnn"
TRAININGS = {"control": "standard", "prime": "prime", "l2": "adversarial:pixel:l2,budget=2,steps=5"}
MEASURED = ("stylegan:layer0", "stylegan:layer3", "stylegan:layer6", "style:rotation", "style:blur", "pixel:l2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/hardened"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--count", type=int, default=50)
    arguments = parser.parse_args()
    files = {name: arguments.out / f"{name}.safetensors" for name in TRAININGS}
    size = ["--epochs", str(arguments.epochs), "--images", str(arguments.images)]
    for name, defense in TRAININGS.items():
        start = ["--classifier", STANDARD, "--data", "biggan"]
        granu("train", "--defense", defense, *start, *size, "--out", str(files[name]))
    classifiers = [STANDARD, *(f"file:{file}" for file in files.values())]
    chosen = [word for name in classifiers for word in ("--classifier", name)]
    changes = [word for change in MEASURED for word in ("--perturb", change)]
    measured = str(arguments.out / "measured")
    granu("eval", "--suite", "corruptions", *changes, *chosen, "--count", str(arguments.count), "--out", measured)
    report = json.loads(granu("report", measured, "--json"))
    print_table(report["rows"], dict(zip(classifiers, ("before", *TRAININGS), strict=True)))


def granu(*words: str) -> str:
    """Print a command, run it, and return its output."""
    print("$ granu", shlex.join(words), flush=True)
    return subprocess.run([sys.executable, "-m", "granu", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def print_table(rows: list[dict[str, Any]], names: dict[str, str]) -> None:
    """Print a line per change and a column per classifier: median smallest sizes, mean accuracy under corruptions."""
    of = {(row["classifier"], row["perturbation"]): row for row in rows}
    print_line("median smallest size", names.values())
    for change in MEASURED:
        print_line(f"{change} ({of[STANDARD, change]['unit']})", (size(of[name, change]) for name in names))
    means = (mean([row["accuracy"] for row in rows if row["classifier"] == name]) for name in names)
    print_line("mean accuracy under corruptions, %", (f"{100 * one:.1f}" for one in means))


def print_line(head: str, cells: Iterable[str]) -> None:
    print(f"{head:40}" + "".join(f"{cell:>10}" for cell in cells))


def size(row: dict[str, Any]) -> str:
    """The median size, or the largest size tried where the median lies beyond it."""
    return f"> {row['size_beyond']:.3g}" if row["size"] is None else f"{row['size']:.3g}"


def mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


if __name__ == "__main__":
    main()
