"""A run of two classifiers under two perturbations, with a judge, numbers made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from making_runs import perturbation, png, run_of, write

from granu.runs.gallery import changed_name, clean_name
from granu.runs.run import Run
from granu.runs.trials import CLEAN_WRONG, FOUND, NOT_FOUND, Trial

KEYS = ("tiny:layer1", "tiny:image")
CLASSIFIERS = ("zoo:plain", "zoo:hard")


@pytest.fixture
def matrix(tmp_path: Path) -> Run:
    """30 images for each classifier and perturbation, one misclassified from the start; two have saved images.

    Trials are in reverse order, as workers may append them; the records hold the right one.
    """
    random = np.random.default_rng(0)
    trials = [_trial(random, name, key, number) for name in CLASSIFIERS for key in KEYS for number in range(30)]
    units = {"tiny:layer1": "sigma (RMS)", "tiny:image": "pixel L2"}
    records = [perturbation(key, unit=units[key], judges=("zoo:judge",)) for key in KEYS]
    run = run_of(trials, *records, folder=tmp_path / "run")
    run.trials.reverse()
    for image in ("tiny#2", "tiny#10"):
        run.images[clean_name(image)] = png(0.5)
        run.images |= {changed_name(image, name, key): png(0.75) for name in CLASSIFIERS for key in KEYS}
    write(run)
    return run


def _trial(random: np.random.Generator, classifier: str, key: str, number: int) -> Trial:
    if number == 7:
        return Trial(f"tiny#{number}", key, classifier, CLEAN_WRONG, label=0, predicted=1)
    size = float(random.lognormal(sigma=0.5)) * (2 if classifier == "zoo:hard" else 1)
    found = size < 2.5
    return Trial(
        f"tiny#{number}", key, classifier, FOUND if found else NOT_FOUND,
        label=0, predicted=2 if found else 0, unit="pixel L2" if key == "tiny:image" else "sigma (RMS)",
        size=size if found else None, tried=2.5, l2=2 * size, linf=0.25, ssim=0.75, height=4, width=4,
        votes={"zoo:judge": int(number % 5 == 0)}, control=number % 10 == 0 if found else None,
        forward=12, backward=10,
    )  # fmt: skip
