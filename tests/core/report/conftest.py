"""A run as `granu eval` leaves it behind, of two classifiers, two sites and images, with numbers made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from granu.runs.folder import Run, open_run, read_run
from granu.runs.gallery import clean_file, image_file
from granu.runs.trials import CLEAN_WRONG, FOUND, NOT_FOUND, Trial

KEYS = ("tiny:layer1", "tiny:image")
CLASSIFIERS = ("zoo:plain", "zoo:hard")
IDENTITY = {"seed": 0, "data": None, "judges": ["zoo:judge"]}


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes trials into a run folder of their own."""

    def write(*trials: Trial, name: str = "run", **record: object) -> Path:
        with open_run(tmp_path / name, IDENTITY) as run:
            run.append(trials)
            run.amend(**record)
        return tmp_path / name

    return write


@pytest.fixture
def matrix(run_folder: Callable[..., Path]) -> Run:
    """30 images for each cell, one named wrong from the start; the images of two are kept."""
    random = np.random.default_rng(0)
    trials = []
    for classifier in CLASSIFIERS:
        for key in reversed(KEYS):  # written fine to coarse; a report must bring them in order
            trials += [_trial(random, classifier, key, number) for number in range(30)]
    folder = run_folder(
        *trials, order=list(KEYS), classes=["cat", "dog", "<b>fox</b>"], command="granu eval -p tiny:all"
    )
    for image in ("tiny#0", "tiny#1"):
        file = clean_file(folder / "images", image)
        file.parent.mkdir()
        Image.fromarray(random.integers(0, 255, (8, 8), dtype=np.uint8)).save(file)
        for classifier in CLASSIFIERS:
            for key in KEYS:
                changed = Image.fromarray(random.integers(0, 255, (8, 8), dtype=np.uint8))
                changed.save(image_file(folder / "images", image, classifier, key))
    return read_run(folder)


def _trial(random: np.random.Generator, classifier: str, key: str, number: int) -> Trial:
    if number == 7:
        return Trial(f"tiny#{number}", key, classifier, CLEAN_WRONG, label=0, predicted=1)
    size = float(random.lognormal(sigma=0.5)) * (2 if classifier == "zoo:hard" else 1)
    found = size < 2.5
    return Trial(
        f"tiny#{number}", key, classifier, FOUND if found else NOT_FOUND,
        label=0, predicted=2 if found else 0, unit="pixel L2" if key == "tiny:image" else "sigma (RMS)",
        size=size if found else None, tried=2.5, l2=2 * size, linf=0.25, ssim=0.75,
        votes={"zoo:judge": int(number % 5 == 0)}, control=number % 10 == 0 if found else None,
        forward=12, backward=10,
    )  # fmt: skip
