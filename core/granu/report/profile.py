"""The granularity profile: the median smallest size of each perturbation, coarse to fine, and ratios of classifiers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from granu.errors import GranuError
from granu.report import style
from granu.report.comparison import Comparison, compare
from granu.report.pairing import MeasuredClassifier
from granu.report.rows import Row, rows
from granu.report.statistics import Median, Ratio
from granu.report.style import SeriesStyle
from granu.runs.records import PerturbationRecord
from granu.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Group = list[str]  # neighbouring perturbations of one name whose sizes have one unit; a panel each
MOST_PANELS = 6  # beyond them, units with a single perturbation, which show no order, are left to the table
Compared = dict[str, dict[str, Comparison]]  # classifier -> perturbation -> comparison with the first classifier


def profile(run: Run) -> Figure:
    """Median sizes with intervals (log scale) and, below, the paired ratio of each further classifier to the first.

    Filled marks count all that was found, hollow marks only what every judge confirms. A wedge marks an interval that
    extends beyond the panel. GranuError where no smallest sizes were searched.
    """
    import matplotlib
    from matplotlib.figure import Figure

    sized = [row for row in rows(run) if row.size is not None]
    if not sized:
        raise GranuError(f"{run} holds no smallest sizes to draw; measure some with search=smallest")
    shown = style.series_styles([row.classifier for row in sized])
    drawn = {row.perturbation for row in sized}
    records = {key: record for key, record in run.record.perturbations.items() if key in drawn}
    groups = _groups(sized, records)
    compared = _compare(run, list(shown))
    with matplotlib.rc_context(style.STYLE):
        figure = Figure(figsize=_figure_size(groups, bool(compared)), layout="constrained")
        panels = figure.subplots(
            2 if compared else 1,
            len(groups),
            squeeze=False,
            width_ratios=[len(group) + 0.5 for group in groups],
            height_ratios=[1.5, 1] if compared else [1],
        )
        for group, axes in zip(groups, panels[0], strict=True):
            _draw_sizes(axes, group, sized, shown)
        if compared:
            limits = _ratio_limits(compared)
            for group, axes in zip(groups, panels[1], strict=True):
                _draw_ratios(axes, group, compared, shown, limits)
                axes.tick_params(labelleft=axes is panels[1][0])
            panels[1][0].set_ylabel(f"ratio of sizes\nto {next(iter(shown))}")
        for axes in panels[:-1].flat:
            axes.set_xticks([])
        _label_ticks(panels[-1], groups, style.short_names(list(records.values())))
        _legend(figure, shown, any(row.confirmed_size for row in sized))
        if len({record.name for record in records.values()}) == 1:
            figure.supxlabel("coarse → fine", fontsize=8, color=style.QUIET)
    return figure


def _groups(sized: Sequence[Row], records: Mapping[str, PerturbationRecord]) -> list[Group]:
    units = {row.perturbation: row.unit for row in sized if row.unit}
    panels = {key: (record.name, units.get(key, "")) for key, record in records.items()}
    groups = [list(group) for _, group in itertools.groupby(panels, key=panels.__getitem__)]
    several = [group for group in groups if len(group) > 1]
    return several if several and len(groups) > MOST_PANELS else groups


def _compare(run: Run, classifiers: Sequence[str]) -> Compared:
    first, *others = (MeasuredClassifier(run, name) for name in classifiers)
    return {other.name: {c.perturbation: c for c in compare(first, other)} for other in others}


def _figure_size(groups: Sequence[Group], ratios: bool) -> tuple[float, float]:
    sites = sum(map(len, groups))
    return max(5.0, 1.6 + 0.6 * len(groups) + (0.62 if sites <= 14 else 0.48) * sites), 5.6 if ratios else 3.6


def _draw_sizes(axes: Axes, group: Group, sized: Sequence[Row], shown: dict[str, SeriesStyle]) -> None:
    for place, (name, own) in enumerate(shown.items()):
        by_key = {row.perturbation: row for row in sized if row.classifier == name and row.perturbation in group}
        at = {key: i + _offset(place, len(shown)) for i, key in enumerate(group) if key in by_key}
        line = [median.value if (median := by_key[key].size) and median.value else math.nan for key in at]
        axes.plot(list(at.values()), line, color=own.colour, linewidth=1, alpha=0.45, zorder=2)
        for key, x in at.items():
            if (confirmed := by_key[key].confirmed_size) is not None:
                _mark(axes, x + 0.1, *_ends(confirmed), own, hollow=True)
            if (median := by_key[key].size) is not None:
                _mark(axes, x, *_ends(median), own, hollow=False)
    axes.set_yscale("log")
    _finish(axes, group)
    unit = next((row.unit for row in sized if row.perturbation in group and row.unit), "")
    axes.set_ylabel(f"median size, {unit}" if unit else "median size")


def _draw_ratios(
    axes: Axes, group: Group, compared: Compared, shown: dict[str, SeriesStyle], limits: tuple[float, float]
) -> None:
    axes.axhline(1, color=style.INK, linewidth=0.9, zorder=1)
    for place, (name, by_key) in enumerate(compared.items()):
        for i, key in enumerate(group):
            x = i + _offset(place, len(compared))
            for ratio, hollow in ((by_key[key].confirmed, True), (by_key[key].sizes, False)) if key in by_key else ():
                if ratio is not None and ratio.value is not None:
                    _mark(axes, x + 0.12 * hollow, *_clipped(ratio, limits), shown[name], hollow)
    axes.set_yscale("log")
    axes.set_ylim(*limits)
    _finish(axes, group)


def _mark(
    axes: Axes, x: float, low: float, value: float | None, high: float, wedges: str, own: SeriesStyle, hollow: bool
) -> None:
    """A value and its interval; `wedges` ("^", "v" or both) mark the ends beyond which the interval extends."""
    colour = style.paler(own.colour) if hollow else own.colour
    axes.plot([x, x], [low, high], color=colour, linewidth=1 if hollow else 1.6, zorder=3, solid_capstyle="butt")
    for wedge in wedges:
        end = high if wedge == "^" else low
        axes.plot(x, end, marker=6 if wedge == "^" else 7, color=colour, markersize=5, zorder=3, clip_on=False)
    if value is not None:
        axes.plot(
            x, value, own.marker, color=colour, markerfacecolor="white" if hollow else colour,
            markersize=4 if hollow else 5.5, markeredgewidth=1, zorder=4,
        )  # fmt: skip


def _ends(median: Median) -> tuple[float, float | None, float, str]:
    low = median.largest if median.low is None else median.low
    high = median.largest if median.high is None else median.high
    return low, median.value, high, "^" if median.high is None else ""


def _clipped(ratio: Ratio, limits: tuple[float, float]) -> tuple[float, float | None, float, str]:
    assert ratio.low is not None and ratio.value is not None and ratio.high is not None
    low, high = max(ratio.low, limits[0]), min(ratio.high, limits[1])
    inside = ratio.value if limits[0] < ratio.value < limits[1] else None
    return low, inside, high, "v" * (ratio.low < limits[0]) + "^" * (ratio.high > limits[1])


def _ratio_limits(compared: Compared) -> tuple[float, float]:
    """Limits around all intervals, at most a factor of 1.5 beyond the outermost values."""
    ratios = list(_finite_ratios(compared))
    values = [ratio.value for ratio in ratios if ratio.value] + [1.0]
    lows = [max(ratio.low or 0.0, min(values) / 1.5) for ratio in ratios]
    highs = [min(ratio.high or math.inf, max(values) * 1.5) for ratio in ratios]
    return min([0.85, *lows]) / 1.08, max([1.18, *highs]) * 1.08


def _finite_ratios(compared: Compared) -> Iterator[Ratio]:
    for by_key in compared.values():
        for comparison in by_key.values():
            for ratio in (comparison.sizes, comparison.confirmed):
                if ratio is not None and ratio.value is not None and 0 < ratio.value < math.inf:
                    yield ratio


def _finish(axes: Axes, group: Group) -> None:
    axes.set_xlim(-0.6, len(group) - 0.4)
    style.quiet_grid(axes)
    style.plain_log_ticks(axes)


def _offset(place: int, several: int) -> float:
    """Horizontal distance of a classifier's mark from the tick, so that intervals do not cover each other."""
    return (place - (several - 1) / 2) * min(0.28, 0.75 / several) - 0.05


def _label_ticks(panels: Sequence[Axes], groups: Sequence[Group], names: Mapping[str, str]) -> None:
    slanted = len(names) > 3 and (max(map(len, names.values())) > 7 or len(names) > 14)
    for axes, group in zip(panels, groups, strict=True):
        axes.set_xticks(
            range(len(group)),
            [names[key].replace(",", ",\n") for key in group],
            rotation=35 if slanted else 0,
            ha="right" if slanted else "center",
            rotation_mode="anchor",
        )


def _legend(figure: Figure, shown: dict[str, SeriesStyle], judged: bool) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=own.colour, marker=own.marker, markersize=5.5) for own in shown.values()]
    names = list(shown)
    if judged:
        marks += [Line2D([], [], color=style.QUIET, marker="o", markerfacecolor="white", markersize=4, linewidth=1)]
        names += ["confirmed by all judges"]
    figure.legend(marks, names, loc="outside upper left", ncols=3, handlelength=1.6, columnspacing=1.6)
