"""The figure of a training: loss, and accuracy on validation images, by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from granu.report import style
from granu.training.journal import EpochRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_training(records: Sequence[EpochRecord], file: Path) -> None:
    """Write the figure of a training's epochs as SVG, PNG or PDF."""
    style.save(training_figure(records), file)


def training_figure(records: Sequence[EpochRecord]) -> Figure:
    """Loss above, clean and robust accuracy below, and a mark at the epoch that was kept."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    validated = any(record.clean is not None for record in records)
    with matplotlib.rc_context(style.STYLE):
        figure = Figure(figsize=(5.6, 4.4 if validated else 2.4), layout="constrained")
        panels = figure.subplots(2 if validated else 1, 1, squeeze=False, sharex=True)[:, 0]
        _draw(panels[0], records, "loss", 1.0, style.INK)
        panels[0].set_ylabel("training loss")
        panels[0].set_ylim(bottom=0)
        if validated:
            _draw(panels[1], records, "clean", 100.0, style.COLOURS[0])
            _draw(panels[1], records, "robust", 100.0, style.COLOURS[1])
            panels[1].set_ylabel("validation accuracy, %")
            _mark_best(panels[1], records)
        for axes in panels:
            style.quiet_grid(axes)
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw(axes: Axes, records: Sequence[EpochRecord], name: str, scale: float, colour: str) -> None:
    """A line with its name at its end."""
    points = [(r.epoch, scale * value) for r in records if (value := getattr(r, name)) is not None]
    if not points:
        return
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.4, marker="o", markersize=3, clip_on=False)
    if name != "loss":
        axes.annotate(name, points[-1], (6, 0), textcoords="offset points", color=colour, va="center", fontsize=8)


def _mark_best(axes: Axes, records: Sequence[EpochRecord]) -> None:
    kept = [record.epoch for record in records if record.best]
    if kept:
        axes.axvline(kept[-1], color=style.QUIET, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0)
        axes.annotate("kept", (kept[-1], 0), (4, 3), ("data", "axes fraction"), "offset points", color=style.QUIET)
