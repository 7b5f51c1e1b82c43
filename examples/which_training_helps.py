"""Which training helps at which grain?

Measures several classifiers along sites of the shipped StyleGAN2 and BigGAN, windows of frequencies and pixels, coarse
to fine, on the same digits (repeat the command to resume it). Guides keep the label in every search. Prints the ratios
of smallest label-preserving sizes to those of the first classifier, with intervals, and draws them: a row per training,
a column per grain.

    python examples/which_training_helps.py --count 50 --out runs/which --figure runs/which/which.svg

Name the classifiers with `--classifier NAME=SPEC`, the first one being what the others are related to; further
generators, levels of a diffusion model or windows with `--perturb SPEC`.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys

CLASSIFIERS = (
    "standard=zoo:mnist-cnn",
    "L2-trained=zoo:mnist-cnn-l2",
    "L-infinity-trained=zoo:mnist-cnn-linf",
    "PRIME=zoo:mnist-cnn-prime",
)
STYLEGAN = tuple(f"stylegan:{site}" for site in ("z", "layer0", "layer2", "layer4", "layer6"))
BIGGAN = tuple(f"biggan:{site}" for site in ("z", "linear", "layer0", "layer2", "layer3"))
FREQUENCIES = tuple(f"frequency:{window}" for window in (0, 3, 6, 9, 12))
GRAINS = (*STYLEGAN, *BIGGAN, *FREQUENCIES, "pixel:l2", "pixel:linf")
GUIDES = ("zoo:mnist-judge-l2", "zoo:mnist-judge-mixer", "zoo:mnist-lenet")
JUDGES = ("zoo:mnist-judge-resnet",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--classifier", action="append", metavar="NAME=SPEC", help="repeatable; the first is related to"
    )
    parser.add_argument("--perturb", action="append", metavar="SPEC", help="repeatable, coarse to fine")
    parser.add_argument("--guide", action="append", metavar="SPEC", help="repeatable; keeps the label in the search")
    parser.add_argument("--judge", action="append", metavar="SPEC", help="repeatable; says whether the label is kept")
    parser.add_argument("--data", help="images to change and to encode; by default digits that the generators draw")
    parser.add_argument("--count", default="50")
    parser.add_argument("--out", default="runs/which")
    parser.add_argument("--figure")
    asked = parser.parse_args()
    named = [one.partition("=")[::2] for one in asked.classifier or CLASSIFIERS]
    words = [word for name, spec in named for word in ("--classifier", f"{spec},label={name}")]
    words += [word for spec in asked.perturb or GRAINS for word in ("--perturb", spec)]
    words += [word for spec in asked.guide or GUIDES for word in ("--guide", spec)]
    words += [word for spec in asked.judge or JUDGES for word in ("--judge", spec)]
    data = ("--data", asked.data) if asked.data else ()
    granu("eval", *words, *data, "--count", asked.count, "--out", asked.out)
    figure = ("--figure", asked.figure) if asked.figure else ()
    granu("compare", asked.out, "--reference", named[0][0], *figure)


def granu(*words: str) -> None:
    """Print a command and run it."""
    print("$ granu", shlex.join(words), flush=True)
    subprocess.run([sys.executable, "-m", "granu", *words], check=True)


if __name__ == "__main__":
    main()
