"""The style of figures: a colour and marker per classifier, quiet axes, and the same bytes for the same figure."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu.errors import OptionError
from granu.report.export import write_file
from granu.runs.records import PerturbationRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), for colour-blind readers; without yellow, which is too pale on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
INK, QUIET, FAINT = "#1f2328", "#6e7781", "#d8dee4"
FORMATS = (".svg", ".png", ".pdf")

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "granu",
    "text.parse_math": False,  # names of classes and files may hold a dollar sign
}


@dataclass(frozen=True)
class SeriesStyle:
    """The colour and marker of one classifier."""

    colour: str
    marker: str


def series_styles(classifiers: Sequence[str]) -> dict[str, SeriesStyle]:
    """A style for each, by its position; styles repeat after seven."""
    names = dict.fromkeys(classifiers)
    return {name: SeriesStyle(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


def short_names(records: Sequence[PerturbationRecord]) -> dict[str, str]:
    """A short distinct name for each key: its label, or else without what all have.

    That is options that all of a family share, or all of several families, and the name of a single family.
    """
    families: dict[str, list[PerturbationRecord]] = {}
    for record in records:
        families.setdefault(record.name, []).append(record)
    everywhere = _shared_options(records) if len(families) > 1 else set()
    shared = {
        name: _shared_options(own) if len(own) > 1 or len(records) == 1 else everywhere
        for name, own in families.items()
    }
    one_family = len(families) == 1 and all(record.target for record in records)
    names = {}
    for record in records:
        given = sorted(record.given.items() - shared[record.name])
        details = ",".join([*filter(None, [record.target]), *(f"{key}={_short(value)}" for key, value in given)])
        names[record.key] = record.label or ":".join(filter(None, ["" if one_family else record.name, details]))
    often = Counter(names.values())
    return {key: name if often[name] == 1 else key for key, name in names.items()}


def _shared_options(records: Sequence[PerturbationRecord]) -> set[tuple[str, str]]:
    """The options that all of some records have."""
    return set.intersection(*(set(record.given.items()) for record in records))


def _short(value: str) -> str:
    """Of a path only the file's name; a fraction such as 8/255 is no path."""
    return value if value[:1].isdigit() else Path(value).name


def quiet_grid(axes: Axes) -> None:
    """Thin horizontal lines to read values by."""
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.tick_params(length=0)


def paler(colour: str) -> str:
    """A colour mixed with a third of white."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) / 3):02x}" for part in parts)


def plain_log_ticks(axes: Axes) -> None:
    """Ticks of a log scale at 1, 2, 5 of each decade, or finer if the range is short, written as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_ylim()
    span = math.log10(high / low)
    parts = (
        (1, 2, 5)
        if span > 1
        else (1, 1.5, 2, 3, 5, 7)
        if span > 0.4
        else (1, 1.2, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    )
    axes.yaxis.set_major_locator(LogLocator(10, subs=parts))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def save(figure: Figure, file: Path) -> None:
    """Write a figure as SVG, PNG or PDF, as the file's name ends."""
    if file.suffix.lower() not in FORMATS:
        raise OptionError(f"{file} is not a figure format; end the name with {', '.join(FORMATS)}")
    write_file(file, rendered(figure, file.suffix.lower()[1:]))


def rendered(figure: Figure, form: str, dpi: int = 160) -> bytes:
    """A figure as the bytes of a file; the same figure gives the same bytes."""
    import matplotlib

    stream = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    with matplotlib.rc_context(STYLE):
        figure.savefig(stream, format=form, dpi=dpi, metadata=undated, facecolor="white")
    return stream.getvalue()
