"""The page image by image: for each saved image a strip per classifier, coarse to fine, and what it shows in words."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.report import style
from granu.report.pairing import MeasuredClassifier
from granu.report.rows import classifiers_of, natural
from granu.report.sentences import amount, describe
from granu.report.strips import Encoding, Shot, Strip, class_name, diverging, read_pixels, strips
from granu.runs.gallery import clean_name
from granu.runs.run import Run
from granu.runs.trials import FOUND, PREPARED, PSNR, RECONSTRUCTION, Trial

if TYPE_CHECKING:
    import numpy as np

SHARP = 128  # pixels of the longer side, up to which pixels are shown as squares
LARGEST = 192  # pixels to which larger images are shrunk, so that the page does not grow to hundreds of megabytes


@dataclass(frozen=True)
class EmbeddedImage:
    """An image as the page embeds it."""

    source: str  # a data URI
    alt: str
    sharp: bool


@dataclass(frozen=True)
class Panel:
    """One image of a strip under its caption, and its difference from the image before the edit."""

    name: str
    title: str  # the full name
    image: EmbeddedImage
    difference: EmbeddedImage | None = None
    lines: tuple[str, ...] = ()
    confirmed: bool = False


@dataclass(frozen=True)
class ClassifierStrip:
    """The verdicts of one classifier on an image: panels, coarse to fine, and sentences."""

    classifier: str
    colour: str
    panels: tuple[Panel, ...]
    sentences: str


@dataclass(frozen=True)
class ImageSection:
    """One image with the strips of all classifiers that it was shown to."""

    image: str
    label: str
    strips: tuple[ClassifierStrip, ...]


def by_image(run: Run) -> list[ImageSection]:
    """A section for each image of which changed versions were saved, in natural order."""
    colours = style.series_styles(classifiers_of(run))
    measured = {name: MeasuredClassifier(run, name) for name in colours}
    saved = {name: {strip.image: strip for strip in strips(one, one.perturbations)} for name, one in measured.items()}
    images = sorted({image for own in saved.values() for image in own}, key=natural)
    trials = _trials(run, set(images))
    sections = []
    for image in images:
        shown = [name for name in saved if (name, image) in trials]
        made = [
            _strip(run, name, image, saved[name].get(image), trials[name, image], colours[name].colour)
            for name in shown
        ]
        label = next(iter(trials[shown[0], image].values())).label
        sections.append(ImageSection(image, class_name(label, run.record.classifiers[shown[0]].classes), tuple(made)))
    return sections


def _trials(run: Run, images: set[str]) -> dict[tuple[str, str], dict[str, Trial]]:
    """The trials of some images by classifier and image, each by perturbation and in the order of the records."""
    found: dict[tuple[str, str, str], Trial] = {
        (trial.classifier, trial.image, trial.perturbation): trial for trial in run.trials if trial.image in images
    }
    ordered: dict[tuple[str, str], dict[str, Trial]] = {}
    for key in run.record.perturbations:
        for classifier in run.record.classifiers:
            for image in images:
                if (trial := found.get((classifier, image, key))) is not None:
                    ordered.setdefault((classifier, image), {})[key] = trial
    return ordered


def _strip(
    run: Run, classifier: str, image: str, strip: Strip | None, trials: Mapping[str, Trial], colour: str
) -> ClassifierStrip:
    classes = run.record.classifiers[classifier].classes
    names = style.short_names([run.record.perturbations[key] for key in trials])
    values = list(trials.values())
    panels = []
    clean = read_pixels(run, clean_name(image)) if strip is None else strip.clean
    if clean is not None:
        label = class_name(values[0].label, classes)
        panels.append(Panel("clean", image, _embedded(clean, f"{image} before any change, label {label}")))
    shots, encodings = (strip.shots, dict(strip.encodings)) if strip else ({}, {})
    for key in trials:
        generator = run.record.perturbations[key].generator
        if generator is not None and (encoding := encodings.pop(generator.spec, None)) is not None:
            panels += _before_edit(image, generator.spec, encoding, clean, classes)
        if key in shots:
            panels.append(_panel(classifier, image, names[key], shots[key], classes))
    return ClassifierStrip(classifier, colour, tuple(panels), describe(classifier, values, names, classes))


def _before_edit(
    image: str, generator: str, encoding: Encoding, clean: np.ndarray | None, classes: Sequence[str]
) -> Iterator[Panel]:
    """The image as the generator took it, where that differs from the clean one, and its reconstruction."""
    arms = encoding.trial.arms
    if clean is None or clean.shape != encoding.prepared.shape or bool((clean != encoding.prepared).any()):
        alt = f"{image} prepared for {generator}"
        yield Panel("prepared", alt, _embedded(encoding.prepared, alt), lines=_seen(arms.get(PREPARED), classes))
    if encoding.reconstruction is not None and encoding.difference is not None:
        alt = f"reconstruction of {image} by {generator}"
        yield Panel(
            "reconstruction", alt, _embedded(encoding.reconstruction, alt),
            _embedded(diverging(encoding.difference), f"difference of the {alt} and the image that it encoded"),
            (*_likeness(encoding.trial), *_seen(arms.get(RECONSTRUCTION), classes)),
        )  # fmt: skip


def _likeness(trial: Trial) -> tuple[str, ...]:
    return (f"PSNR {trial.extra[PSNR]:.1f} dB",) if PSNR in trial.extra else ()


def _seen(predicted: int | None, classes: Sequence[str]) -> tuple[str, ...]:
    return () if predicted is None else (f"sees {class_name(predicted, classes)}",)


def _panel(classifier: str, image: str, name: str, shot: Shot, classes: Sequence[str]) -> Panel:
    trial = shot.trial
    said = class_name(trial.predicted, classes)
    found = trial.outcome == FOUND
    return Panel(
        name,
        trial.perturbation,
        _embedded(shot.changed, f"{image} changed by {trial.perturbation}: {classifier} sees {said}"),
        _embedded(diverging(shot.difference), f"difference of {image} changed by {trial.perturbation} and before"),
        (amount(trial), f"sees {said}", *_judges(trial, classes)) if found else ("not found",),
        found and bool(trial.votes) and trial.confirmed,
    )


def _judges(trial: Trial, classes: Sequence[str]) -> list[str]:
    """The number of judges that still see the label, as a line of a caption; none where nobody was asked."""
    if not trial.votes:
        return []
    agree, label = sum(vote == trial.label for vote in trial.votes.values()), class_name(trial.label, classes)
    return [f"{agree} of {len(trial.votes)} judges see {label}"]


def _embedded(image: np.ndarray, alt: str) -> EmbeddedImage:
    """Of a small image every pixel; a photograph as a thumbnail."""
    import numpy as np
    from PIL import Image

    sharp, stream = max(image.shape[:2]) <= SHARP, io.BytesIO()
    drawn = Image.fromarray((255 * image + 0.5).astype(np.uint8))
    if sharp:
        drawn.save(stream, "png")
    else:
        drawn.thumbnail((LARGEST, LARGEST))
        drawn.save(stream, "jpeg", quality=90)
    kind = "png" if sharp else "jpeg"
    return EmbeddedImage(f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}", alt, sharp)
