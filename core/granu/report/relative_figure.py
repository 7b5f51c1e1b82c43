"""The figure of a relative profile: a row per training, a column per grain, coarse to fine; 1 is the reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from granu.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from granu.report.relative import Cell, RelativeProfile

GAP = 0.7  # between the columns of two families
FACTOR = 8.0  # the largest ratio, and its inverse, that the axis shows
UP, DOWN, EVEN = (style.COLOURS[0], "^", True), (style.COLOURS[1], "v", True), (style.QUIET, "o", False)
VERDICTS = {1: UP, -1: DOWN, 0: EVEN}  # colour, marker and whether it is filled: read in grey as well


def relative_figure(profile: RelativeProfile) -> Figure:
    """Ratios to the reference with their intervals (log scale), a panel for each classifier.

    The large mark is the ratio of median label-preserving sizes where judges voted; its shape says whether the interval
    lies above 1, below 1 or around it. The small dash beside it is the ratio over all that was found. What lies beyond
    the panel, or beyond all sizes tried, stands at its edge; a wedge marks an interval that extends beyond it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    places, heads = _places(profile)
    limits = _limits(profile)
    rows = len(profile.classifiers)
    size = (max(6.2, 1.6 + 0.5 * max(places.values())), 1.5 + 1.15 * rows)
    with matplotlib.rc_context(style.STYLE):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
        for name, axes in zip(profile.classifiers, panels, strict=True):
            _draw_row(axes, profile, name, places, limits)
        for head, at in heads.items():
            panels[0].annotate(
                head, (at, 1.22), xycoords=("data", "axes fraction"), ha="center", color=style.QUIET, fontsize=8
            )
        _label_columns(panels[-1], profile, places)
        figure.supylabel(f"size relative to {profile.reference}", fontsize=9)
        figure.supxlabel(
            "coarse → fine within each family; marks at the edge lie beyond it", fontsize=8, color=style.QUIET
        )
        _legend(figure, profile)
    return figure


def _places(profile: RelativeProfile) -> tuple[dict[str, float], dict[str, float]]:
    """The horizontal place of each perturbation, and of the name of each family of several."""
    places: dict[str, float] = {}
    families: dict[str, list[float]] = {}
    before, x = "", -1.0
    for record in profile.perturbations:
        x += 1.0 + (GAP if before and record.name != before else 0.0)
        places[record.key] = x
        families.setdefault(record.name, []).append(x)
        before = record.name
    several = len(families) > 1
    return places, {name: (xs[0] + xs[-1]) / 2 for name, xs in families.items() if several and len(xs) > 1}


def _limits(profile: RelativeProfile) -> tuple[float, float]:
    """Limits around all ratios, at least a factor of 1.5 and at most FACTOR to either side."""
    values = [value for cell in profile.cells for value in (_shown(cell), cell.sizes.value, *cell.interval) if value]
    finite = [value for value in values if 0 < value < math.inf] + [1.0]
    return max(1 / FACTOR, min(1 / 1.3, min(finite) / 1.15)), min(FACTOR, max(1.5, max(finite) * 1.15))


def _draw_row(
    axes: Axes, profile: RelativeProfile, name: str, places: dict[str, float], limits: tuple[float, float]
) -> None:
    axes.axhline(1, color=style.INK, linewidth=0.9, zorder=1)
    for key, x in places.items():
        cell = profile.cell(name, key)
        if cell is not None:
            _draw_cell(axes, x, cell, limits)
    axes.set_yscale("log")
    axes.set_ylim(*limits)
    axes.set_xlim(-0.6, max(places.values()) + 0.6)
    style.quiet_grid(axes)
    style.plain_log_ticks(axes)
    axes.set_title(name, loc="left", fontsize=9, fontweight="bold", pad=3)


def _draw_cell(axes: Axes, x: float, cell: Cell, limits: tuple[float, float]) -> None:
    colour, marker, filled = VERDICTS[cell.verdict]
    low, high = (min(max(end, limits[0]), limits[1]) for end in cell.interval)
    axes.plot([x, x], [low, high], color=colour, linewidth=1.6, zorder=3, solid_capstyle="butt")
    for beyond, end, wedge in ((cell.interval[0] < limits[0], low, 7), (cell.interval[1] > limits[1], high, 6)):
        if beyond:
            axes.plot(x, end, marker=wedge, color=colour, markersize=4, zorder=3, clip_on=False)
    value = _shown(cell)
    if value is not None:
        at, face = min(max(value, limits[0]), limits[1]), colour if filled else "white"
        axes.plot(x, at, marker, color=colour, markerfacecolor=face, markersize=6, zorder=4, clip_on=False)
    found = cell.sizes.value
    if cell.preserving is not None and found is not None and limits[0] < found < limits[1]:
        axes.plot(x + 0.28, found, marker="_", color=style.INK, markersize=6, zorder=3)


def _shown(cell: Cell) -> float | None:
    """The ratio at which the mark stands: of medians that are both known, without judges of all that was found."""
    return cell.sizes.value if cell.preserving is None else cell.preserving.value


def _label_columns(axes: Axes, profile: RelativeProfile, places: dict[str, float]) -> None:
    names = style.short_names(list(profile.perturbations))
    families = [record.name for record in profile.perturbations]
    labels = [
        names[record.key].removeprefix(f"{record.name}:") if families.count(record.name) > 1 else names[record.key]
        for record in profile.perturbations
    ]
    axes.set_xticks(list(places.values()), labels, rotation=35, ha="right", rotation_mode="anchor")


def _legend(figure: Figure, profile: RelativeProfile) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=colour, marker=marker, markerfacecolor=colour if filled else "white", markersize=6)
        for colour, marker, filled in VERDICTS.values()
    ]
    names = ["needs larger changes", "needs smaller changes", "no difference shown"]
    if profile.judged:
        marks.append(Line2D([], [], color=style.INK, marker="_", markersize=6, linewidth=0))
        names.append("all that was found, whatever the judges see")
    figure.legend(marks, names, loc="outside upper left", ncols=2, handlelength=1.6, columnspacing=1.6)
