"""Strips: the saved images of a run, each clean image with its encodings and changed versions, coarse to fine."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.errors import RunFolderError
from granu.plugins.imagenet import class_title
from granu.report.pairing import MeasuredClassifier
from granu.report.rows import natural
from granu.runs.gallery import clean_name, prepared_name, reconstruction_name
from granu.runs.records import PerturbationRecord
from granu.runs.run import Run
from granu.runs.trials import Trial

if TYPE_CHECKING:
    import numpy as np

LARGEST = 256  # pixels of an image's longer side, to which larger images are shrunk


@dataclass(frozen=True)
class Shot:
    """One changed image and its difference from the image before the edit."""

    trial: Trial
    changed: np.ndarray  # (H, W, 3) in [0, 1]
    difference: np.ndarray  # (H, W) in [-1, 1]: the mean over colours of changed - before


@dataclass(frozen=True)
class Encoding:
    """An image as a generator took it, and what it makes of its encoding without an edit."""

    trial: Trial  # one whose `arms` are the classes given to these images
    prepared: np.ndarray  # (H, W, 3) in [0, 1]
    reconstruction: np.ndarray | None  # of the same shape; None where there is none

    @property
    def difference(self) -> np.ndarray | None:
        """(H, W) in [-1, 1]: the mean over colours of reconstruction - prepared."""
        return None if self.reconstruction is None else (self.reconstruction - self.prepared).mean(axis=2)


@dataclass(frozen=True)
class Strip:
    """A clean image, its encodings by generator, and its changed versions by perturbation."""

    image: str
    label: int | None
    clean: np.ndarray  # (H, W, 3) in [0, 1]
    encodings: dict[str, Encoding]
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
    """The saved images of one clean image; None where nothing but itself was saved."""
    clean = read_pixels(run, clean_name(image))
    if clean is None:
        return None
    encodings, shots = _encodings(run, image, trials), {}
    for key, trial in trials.items():
        changed = read_pixels(run, run.changed_name(image, trial.classifier, key))
        before = _before_edit(run.record.perturbations[key], clean, encodings)
        if changed is not None and before is not None:
            shots[key] = Shot(trial, changed, (changed - before).mean(axis=2))
    label = next(iter(trials.values())).label
    return Strip(image, label, clean, encodings, shots) if shots or encodings else None


def _encodings(run: Run, image: str, trials: Mapping[str, Trial]) -> dict[str, Encoding]:
    """The saved encodings of an image, by the spec of the generator."""
    found: dict[str, Encoding] = {}
    for key, trial in trials.items():
        generator = run.record.perturbations[key].generator
        if generator is None or generator.spec in found or not trial.arms:
            continue
        prepared = read_pixels(run, prepared_name(image, generator.spec))
        if prepared is not None:
            made = read_pixels(run, reconstruction_name(image, generator.spec))
            found[generator.spec] = Encoding(trial, prepared, made)
    return found


def _before_edit(record: PerturbationRecord, clean: np.ndarray, encodings: Mapping[str, Encoding]) -> np.ndarray | None:
    """The image without an edit: the clean one; of an encoded one the reconstruction, with `residual` the prepared."""
    if record.generator is None:
        return clean
    encoding = encodings.get(record.generator.spec)
    if encoding is None:
        return None
    return encoding.prepared if record.site_options.get("residual") else encoding.reconstruction


def read_pixels(run: Run, name: str) -> np.ndarray | None:
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
    return class_title(classes[number]) if 0 <= number < len(classes) else f"class {number}"
