"""Robust accuracy against size: the share of images that no change up to a size was found to fool."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from granu.errors import GranuError
from granu.report import style
from granu.report.rows import observation, rows, without_repeats
from granu.report.statistics import Survival, survival
from granu.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4  # panels side by side


def survival_curves(run: Run) -> Figure:
    """Kaplan-Meier curves with bands: a panel per perturbation, coarse to fine, and a colour per classifier.

    GranuError where no smallest sizes were searched.
    """
    import matplotlib
    from matplotlib.figure import Figure

    sized = [row for row in rows(run) if row.size is not None]
    if not sized:
        raise GranuError(f"{run} holds no smallest sizes to draw; measure some with search=smallest")
    shown = style.series_styles([row.classifier for row in sized])
    units = {row.perturbation: row.unit for row in sized}
    keys = [key for key in run.record.perturbations if key in units]
    names = style.short_names([run.record.perturbations[key] for key in keys])
    across = min(ACROSS, len(keys))
    down = math.ceil(len(keys) / across)
    with matplotlib.rc_context(style.STYLE):
        figure = Figure(figsize=(max(4.0, 2.5 * across + 0.6), 1.9 * down + 0.7), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False, sharey=True)
        for key, axes in zip(keys, panels.flat, strict=False):
            for name, series in shown.items():
                own = [t for t in run.trials if (t.classifier, t.perturbation) == (name, key)]
                counted = [trial for trial in without_repeats(own) if trial.counts]
                _draw(axes, survival([observation(trial) for trial in counted]), series.colour)
            axes.set_title(names[key], fontsize=9, loc="left")
            axes.set_xlabel(units[key], fontsize=8, color=style.QUIET)
            axes.set_xlim(left=0)
            axes.set_ylim(-2, 102)
            axes.set_yticks([0, 25, 50, 75, 100])
            style.quiet_grid(axes)
        for axes in panels.flat[len(keys) :]:
            axes.set_visible(False)
        figure.supylabel("robust accuracy, %", fontsize=9)
        _legend(figure, shown)
    return figure


def _draw(axes: Axes, curve: Survival, colour: str) -> None:
    if not curve.sizes:
        return
    sizes = [0.0, *curve.sizes]
    share, low, high = ([100.0, *(100 * part for part in parts)] for parts in (curve.share, curve.low, curve.high))
    axes.fill_between(sizes, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    axes.step(sizes, share, where="post", color=colour, linewidth=1.4)


def _legend(figure: Figure, shown: dict[str, style.SeriesStyle]) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=own.colour, linewidth=1.6) for own in shown.values()]
    figure.legend(marks, list(shown), loc="outside upper left", ncols=3, handlelength=1.6, columnspacing=1.6)
