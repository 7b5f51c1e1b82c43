"""Does training against pixel noise help at every granularity?

Runs `granu eval` over every site of the shipped StyleGAN2 on the standard classifier and its L2-trained twin (200
shared seeds by default; repeat the command to resume it). Then prints, per site, the paired ratio of smallest sizes
(L2-trained over standard) with its interval: below 1 the L2-trained classifier breaks earlier. `--figure FILE` draws
the profile.

    python examples/granularity_profile.py --count 200 --out runs/profile --figure runs/profile/profile.svg
"""

from __future__ import annotations

import argparse
import subprocess
import sys

STANDARD, TWIN = "zoo:mnist-cnn", "zoo:mnist-cnn-l2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", default="200")
    parser.add_argument("--perturb", default="stylegan:all")
    parser.add_argument("--out", default="runs/profile")
    parser.add_argument("--figure", default=None)
    arguments = parser.parse_args()
    classifiers = ("--classifier", STANDARD, "--classifier", TWIN)
    granu("eval", "--perturb", arguments.perturb, *classifiers, "--count", arguments.count, "--out", arguments.out)
    figure = ("--figure", arguments.figure) if arguments.figure else ()
    granu("compare", arguments.out, "--classifier", STANDARD, "--versus", TWIN, *figure)


def granu(*words: str) -> None:
    """Print a command and run it."""
    print("$ granu", " ".join(words), flush=True)
    subprocess.run([sys.executable, "-m", "granu", *words], check=True)


if __name__ == "__main__":
    main()
