"""The sheet of images: each clean image with its changed ones, coarse to fine, and below them what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu.errors import GranuError, UnknownName
from granu.report import formatting, style
from granu.report.rows import in_order
from granu.runs.folder import Run
from granu.runs.gallery import clean_file, image_file
from granu.runs.trials import FOUND, Trial

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.08  # between images, in widths of one
CAPTION = 0.34  # above a changed image
HEAD = 0.62  # above the first row
SIZE = 0.95  # inches of an image
LETTER = 0.09  # inches of a letter of the title
LARGEST = 256  # pixels that are drawn of an image's longer side
KEPT = style.COLOURS[2]  # the frame of an image whose label every judge confirms


@dataclass(frozen=True)
class Shot:
    """One changed image and its difference from the clean one."""

    trial: Trial
    changed: np.ndarray  # (H, W, 3) in [0, 1]
    difference: np.ndarray  # (H, W) in [-1, 1]: the mean over colours of changed - clean


@dataclass(frozen=True)
class Strip:
    """A clean image and what was made of it, by perturbation."""

    image: str
    label: int | None
    clean: np.ndarray  # (H, W, 3) in [0, 1]
    shots: dict[str, Shot]


def sheet(run: Run, classifier: str | None = None, most: int = 8) -> Figure:
    """The kept images of one classifier, the run's first unless named; at most `most` of them.

    Two rows per image: changed, each under its size and the class that the classifier names, and the difference
    from the clean one (red lighter, blue darker), each with the contrast of its own largest value.
    """
    import matplotlib
    from matplotlib.figure import Figure

    name = _chosen(run, classifier)
    trials = [t for t in run.trials if t.classifier == name]
    keys = in_order((t.perturbation for t in trials), run.record.get("order", ()))
    strips = _strips(run, name, trials)[:most]
    if not strips:
        raise GranuError(f"{run.folder} kept no images of {name}; `granu eval --keep 8` writes some")
    classes = run.record.get("classes", ())
    step = 2 * (1 + GAP) + CAPTION
    across, down = (len(keys) + 1) * (1 + GAP) + 0.15, HEAD + len(strips) * step + 0.1
    with matplotlib.rc_context(style.STYLE):
        figure = Figure(figsize=(across * SIZE, down * SIZE))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, across)
        axes.set_ylim(down, 0)
        axes.axis("off")
        names = style.short_names(keys)
        message = "framed: every judge still sees the label" if any(trial.votes for trial in trials) else ""
        room = int(across * SIZE / LETTER) - len(message)
        axes.text(0.1, 0.27, _shortened(name, room), va="bottom", fontsize=9, weight="bold")
        axes.text(across - 0.05, 0.27, message, ha="right", va="bottom", fontsize=8, color=KEPT)
        for place, key in enumerate(keys):
            axes.text(_left(place) + 0.5, HEAD, names[key], ha="center", va="bottom", fontsize=_fitting(names[key], 9))
        for number, strip in enumerate(strips):
            _draw_strip(axes, strip, keys, HEAD + number * step, classes)
    return figure


def _chosen(run: Run, classifier: str | None) -> str:
    names = list(dict.fromkeys(trial.classifier for trial in run.trials))
    if not names:
        raise GranuError(f"{run.folder} holds no trials yet; give the `granu eval` command that began it again")
    if classifier is not None and classifier not in names:
        raise UnknownName("classifier", classifier, names, str(run.folder))
    return classifier or names[0]


def _strips(run: Run, classifier: str, trials: Sequence[Trial]) -> list[Strip]:
    by_image: dict[str, list[Trial]] = {}
    for trial in trials:
        by_image.setdefault(trial.image, []).append(trial)
    strips = []
    for image, own in by_image.items():
        file = clean_file(run.images, image)
        if not file.is_file():
            continue
        clean = _read(file)
        shots = {}
        for trial in own:
            changed_file = image_file(run.images, image, classifier, trial.perturbation)
            if changed_file.is_file():
                changed = _read(changed_file)
                shots[trial.perturbation] = Shot(trial, changed, (changed - clean).mean(axis=2))
        if shots:
            strips.append(Strip(image, own[0].label, clean, shots))
    return strips


def _read(file: Path) -> np.ndarray:
    """An image (H, W, 3) in [0, 1]; one that is larger than it will be drawn is shrunk, to save memory."""
    import numpy as np
    from PIL import Image

    with Image.open(file) as image:
        colour = image.convert("RGB")
    colour.thumbnail((LARGEST, LARGEST))
    return np.asarray(colour, dtype=np.float32) / 255


def _draw_strip(axes: Axes, strip: Strip, keys: Sequence[str], top: float, classes: Sequence[str]) -> None:
    first = top + CAPTION
    _place(axes, strip.clean, 0.1, first)
    label = _class(strip.label, classes)
    axes.text(0.6, first - 0.06, f"clean: {label}", ha="center", va="bottom", fontsize=_fitting(f"clean: {label}", 8))
    axes.text(0.6, first + 1 + GAP + 0.5, "change", ha="center", va="center", fontsize=8, color=style.QUIET)
    for place, key in enumerate(keys):
        shot = strip.shots.get(key)
        if shot is None:
            continue
        left = _left(place)
        kept = bool(shot.trial.votes) and shot.trial.confirmed
        _place(axes, shot.changed, left, first, KEPT if kept else None)
        _place(axes, diverging(shot.difference), left, first + 1 + GAP)
        message = _caption(shot.trial, classes)
        fooled = shot.trial.outcome == FOUND
        axes.text(
            left + 0.5, first - 0.06, message, ha="center", va="bottom",
            fontsize=_fitting(message, 8), color=style.INK if fooled else style.QUIET,
        )  # fmt: skip


def _shortened(text: str, most: int) -> str:
    """The text, or its beginning and end where it has more than `most` letters."""
    half = max(4, (most - 1) // 2)
    return text if len(text) <= max(most, 2 * half + 1) else f"{text[:half]}…{text[-half:]}"


def _caption(trial: Trial, classes: Sequence[str]) -> str:
    if trial.outcome != FOUND:
        return "not found"
    size = f"{formatting.number(trial.size)} → " if trial.size is not None else "→ "
    return size + _class(trial.predicted, classes)


def _class(number: int | None, classes: Sequence[str]) -> str:
    if number is None:
        return "?"
    return classes[number] if 0 <= number < len(classes) else f"class {number}"


def _place(axes: Axes, image: np.ndarray, left: float, top: float, frame: str | None = None) -> None:
    from matplotlib.patches import Rectangle

    # pixels stay square and sharp; large images are smoothed when they shrink
    smooth = "antialiased" if max(image.shape[:2]) > 128 else "nearest"
    high, wide = (side / max(image.shape[:2]) for side in image.shape[:2])
    left, top = left + (1 - wide) / 2, top + (1 - high) / 2
    axes.imshow(image, extent=(left, left + wide, top + high, top), interpolation=smooth, aspect="auto", zorder=1)
    colour, width = (frame, 2.0) if frame else (style.FAINT, 0.6)
    axes.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor=colour, linewidth=width, zorder=2))


def diverging(difference: np.ndarray) -> np.ndarray:
    """Red where it grew lighter, blue where darker, white where nothing changed; (H, W, 3)."""
    import matplotlib

    scale = float(abs(difference).max()) or 1.0
    return matplotlib.colormaps["RdBu_r"](0.5 + 0.5 * difference / scale)[..., :3]


def _left(place: int) -> float:
    return 0.1 + (place + 1) * (1 + GAP)


def _fitting(text: str, size: float) -> float:
    """A font size at which the text fits above an image."""
    return max(4.5, min(size, size * 12 / max(len(text), 1)))
