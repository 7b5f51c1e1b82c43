"""Three photographs in the public domain (CC0), in a folder per ImageNet class, to try granu on an ImageNet classifier.

    pip install scikit-image
    python examples/photographs.py photographs
    granu eval --data folder:photographs,size=224,colour=rgb --perturb sparse-pixel --classifier \
        python:examples/efficientnet_lite0.py:build,size=224,mean=0.5,std=0.5,classes=imagenet

They come with scikit-image: a cat by Stefan van der Walt, a coffee by Rachel Michetti, a photographer by Lav Varshney.
Their folders have the names of classes of ImageNet, such as Egyptian_cat.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import skimage  # type: ignore[import-not-found, unused-ignore]

CLASSES = {"chelsea.png": "Egyptian_cat", "coffee.png": "espresso", "camera.png": "tripod"}


def main(folder: Path) -> None:
    for name, label in CLASSES.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(skimage.__file__).parent / "data" / name, folder / label / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
