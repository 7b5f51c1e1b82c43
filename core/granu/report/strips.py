"""Strips: the saved images of a run, each clean image with its changed versions, coarse to fine."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.errors import RunFolderError
from granu.report.pairing import MeasuredClassifier
from granu.report.rows import natural
from granu.runs.gallery import changed_name, clean_name
from granu.runs.run import Run
from granu.runs.trials import Trial

if TYPE_CHECKING:
    import numpy as np

LARGEST = 256  # pixels of an image's longer side, to which larger images are shrunk


@dataclass(frozen=True)
class Shot:
    """One changed image and its difference from the clean one."""

    trial: Trial
    changed: np.ndarray  # (H, W, 3) in [0, 1]
    difference: np.ndarray  # (H, W) in [-1, 1]: the mean over colours of changed - clean


@dataclass(frozen=True)
class Strip:
    """A clean image and its changed versions, by perturbation."""

    image: str
    label: int | None
    clean: np.ndarray  # (H, W, 3) in [0, 1]
    shots: dict[str, Shot]


def strips(measured: MeasuredClassifier, keys: Sequence[str]) -> Iterator[Strip]:
    """The strips of a classifier's saved images under some perturbations, in the images' natural order."""
    by_image: dict[str, dict[str, Trial]] = {}
    for trial in measured.trials:
        if trial.perturbation in keys:
            by_image.setdefault(trial.image, {})[trial.perturbation] = trial
    made = (_strip(measured.run, image, by_image[image]) for image in sorted(by_image, key=natural))
    return filter(None, made)


def _strip(run: Run, image: str, trials: Mapping[str, Trial]) -> Strip | None:
    """The saved images of one clean image; None where no changed ones were saved."""
    clean = read_picture(run, clean_name(image))
    if clean is None:
        return None
    shots = {}
    for key, trial in trials.items():
        changed = read_picture(run, changed_name(image, trial.classifier, key))
        if changed is not None:
            shots[key] = Shot(trial, changed, (changed - clean).mean(axis=2))
    return Strip(image, next(iter(shots.values())).trial.label, clean, shots) if shots else None


def read_picture(run: Run, name: str) -> np.ndarray | None:
    """A saved image (H, W, 3) in [0, 1], None where it was not saved; one larger than LARGEST is shrunk."""
    import numpy as np
    from PIL import Image

    try:
        data = run.read_image(name)
        if data is None:
            return None
        with Image.open(io.BytesIO(data)) as image:
            colour = image.convert("RGB")
    except OSError:
        raise RunFolderError(f"the image {name} of {run} cannot be read; delete it to draw the others") from None
    colour.thumbnail((LARGEST, LARGEST))
    return np.asarray(colour, dtype=np.float32) / 255


def diverging(difference: np.ndarray) -> np.ndarray:
    """A difference (H, W) as colours (H, W, 3): red lighter, blue darker, white unchanged."""
    import matplotlib

    scale = float(abs(difference).max()) or 1.0
    return matplotlib.colormaps["RdBu_r"](0.5 + 0.5 * difference / scale)[..., :3]


def class_name(number: int | None, classes: Sequence[str]) -> str:
    """The name of a class; `class 7` where it has none, `?` where the class is unknown."""
    if number is None:
        return "?"
    return classes[number] if 0 <= number < len(classes) else f"class {number}"
