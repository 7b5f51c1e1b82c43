"""The sheet of images: each clean image with its changed versions, coarse to fine, and the differences below."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.errors import GranuError, UnknownName
from granu.report import formatting, style
from granu.report.pairing import MeasuredClassifier
from granu.report.rows import check_run, classifiers_of
from granu.report.strips import Strip, class_name, diverging, strips
from granu.runs.gallery import DEFAULT_KEEP
from granu.runs.run import Run
from granu.runs.trials import CLASSIFIER, FOUND, PSNR, Trial

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.08  # between images, in widths of one
CAPTION = 0.34  # above a changed image
HEAD = 0.62  # above the first row
SIZE = 0.95  # inches of an image
LETTER = 0.09  # inches of a letter of the title
CONFIRMED = style.COLOURS[2]  # the frame of an image whose label every judge still sees


@dataclass(frozen=True)
class Column:
    """A column of the sheet: a perturbation, or what a generator makes of its encodings without an edit."""

    name: str
    perturbation: str | None = None
    generator: str | None = None


def sheet(run: Run, classifier: str | None = None, most: int = DEFAULT_KEEP) -> Figure:
    """Draw the saved images of one classifier, by default the run's first; at most `most` of them.

    Two rows per image: changed, under the size of the change and the class that the classifier gives, and the
    difference from the image before the edit (red lighter, blue darker), each with the contrast of its own largest
    value. Reconstructions stand before the changes of the generator that encoded the images. Changes inside the
    classifier have no image and are left out.
    """
    import matplotlib
    from matplotlib.figure import Figure

    measured = _chosen(run, classifier)
    keys = _with_images(measured)
    drawn = list(itertools.islice((strip for strip in strips(measured, keys) if strip.shots), most))
    if not drawn:
        raise GranuError(
            f"{run} holds no images of {measured.name}; `granu eval --keep {DEFAULT_KEEP}` saves some"
            if keys
            else f"{measured.name} was measured in {run} under changes inside the classifier only, which have no images"
        )
    classes = run.record.classifiers[measured.name].classes
    columns = _columns(run, keys)
    step = 2 * (1 + GAP) + CAPTION
    across, down = (len(columns) + 1) * (1 + GAP) + 0.15, HEAD + len(drawn) * step + 0.1
    with matplotlib.rc_context(style.STYLE):
        figure = Figure(figsize=(across * SIZE, down * SIZE))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, across)
        axes.set_ylim(down, 0)
        axes.axis("off")
        legend = "framed: every judge still sees the label" if any(map(measured.judges, keys)) else ""
        width = int(across * SIZE / LETTER) - len(legend)
        axes.text(0.1, 0.27, _shortened(measured.name, width), va="bottom", fontsize=9, weight="bold")
        axes.text(across - 0.05, 0.27, legend, ha="right", va="bottom", fontsize=8, color=CONFIRMED)
        for place, column in enumerate(columns):
            name = column.name
            axes.text(_left(place) + 0.5, HEAD, name, ha="center", va="bottom", fontsize=_fitting(name, 9))
        for number, strip in enumerate(drawn):
            _draw_strip(axes, strip, columns, HEAD + number * step, classes)
    return figure


def _chosen(run: Run, classifier: str | None) -> MeasuredClassifier:
    check_run(run)
    names = classifiers_of(run)
    if classifier is not None and classifier not in names:
        raise UnknownName("classifier", classifier, names, str(run))
    return MeasuredClassifier(run, classifier or names[0])


def _with_images(measured: MeasuredClassifier) -> list[str]:
    """Perturbations whose changes are images."""
    inside = {trial.perturbation for trial in measured.trials if trial.evidence == CLASSIFIER}
    return [key for key in measured.perturbations if key not in inside]


def _columns(run: Run, keys: Sequence[str]) -> list[Column]:
    """The columns behind the clean images: before a generator's first perturbation its reconstructions."""
    names = style.short_names([run.record.perturbations[key] for key in keys])
    columns: list[Column] = []
    for key in keys:
        generator = run.record.perturbations[key].generator
        if generator is not None and generator.spec not in [column.generator for column in columns]:
            columns.append(Column("reconstruction", generator=generator.spec))
        columns.append(Column(names[key], perturbation=key))
    return columns


def _draw_strip(axes: Axes, strip: Strip, columns: Sequence[Column], top: float, classes: Sequence[str]) -> None:
    first = top + CAPTION
    _place(axes, strip.clean, 0.1, first)
    label = class_name(strip.label, classes)
    _write(axes, f"clean: {label}", 0.1, first)
    axes.text(0.6, first + 1 + GAP + 0.5, "change", ha="center", va="center", fontsize=8, color=style.QUIET)
    for place, column in enumerate(columns):
        left = _left(place)
        encoding, shot = strip.encodings.get(column.generator or ""), strip.shots.get(column.perturbation or "")
        if encoding is not None and encoding.reconstruction is not None and encoding.difference is not None:
            _place(axes, encoding.reconstruction, left, first)
            _place(axes, diverging(encoding.difference), left, first + 1 + GAP)
            psnr = encoding.trial.extra.get(PSNR)
            _write(axes, "" if psnr is None else f"{psnr:.1f} dB", left, first)
        if shot is not None:
            confirmed = bool(shot.trial.votes) and shot.trial.confirmed
            _place(axes, shot.changed, left, first, CONFIRMED if confirmed else None)
            _place(axes, diverging(shot.difference), left, first + 1 + GAP)
            colour = style.INK if shot.trial.outcome == FOUND else style.QUIET
            _write(axes, _caption(shot.trial, classes), left, first, colour)


def _write(axes: Axes, caption: str, left: float, top: float, colour: str = style.INK) -> None:
    """A caption above an image."""
    fontsize = _fitting(caption, 8)
    axes.text(left + 0.5, top - 0.06, caption, ha="center", va="bottom", fontsize=fontsize, color=colour)


def _shortened(text: str, most: int) -> str:
    """Shorten a text to about `most` letters: its beginning and end."""
    half = max(4, (most - 1) // 2)
    return text if len(text) <= max(most, 2 * half + 1) else f"{text[:half]}…{text[-half:]}"


def _caption(trial: Trial, classes: Sequence[str]) -> str:
    if trial.outcome != FOUND:
        return "not found"
    size = f"{formatting.number(trial.size)} → " if trial.size is not None else "→ "
    return size + class_name(trial.predicted, classes)


def _place(axes: Axes, image: np.ndarray, left: float, top: float, frame: str | None = None) -> None:
    from matplotlib.patches import Rectangle

    # pixels stay square and sharp; large images are smoothed when they shrink
    smooth = "antialiased" if max(image.shape[:2]) > 128 else "nearest"
    high, wide = (side / max(image.shape[:2]) for side in image.shape[:2])
    left, top = left + (1 - wide) / 2, top + (1 - high) / 2
    axes.imshow(image, extent=(left, left + wide, top + high, top), interpolation=smooth, aspect="auto", zorder=1)
    colour, width = (frame, 2.0) if frame else (style.FAINT, 0.6)
    axes.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor=colour, linewidth=width, zorder=2))


def _left(place: int) -> float:
    return 0.1 + (place + 1) * (1 + GAP)


def _fitting(text: str, size: float) -> float:
    """Reduce a font size so that the text fits above an image."""
    return max(4.5, min(size, size * 12 / max(len(text), 1)))
