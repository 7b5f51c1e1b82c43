"""The table of a run: plain text cells, so that a terminal and a page print the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from granu.report import formatting
from granu.report.rows import Row


@dataclass(frozen=True)
class Column:
    """A column's name, what a reader must know of it, and its cell of a row."""

    name: str
    meaning: str
    cell: Callable[[Row], str]


@dataclass(frozen=True)
class Table:
    """The names of the columns, what each means, and a line of cells per row."""

    columns: tuple[str, ...]
    meanings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def table(rows: Sequence[Row]) -> Table:
    """A line per row; columns that would say nothing are left out."""
    chosen = list(_needed(rows))
    return Table(
        tuple(column.name for column in chosen),
        tuple(column.meaning for column in chosen),
        tuple(tuple(column.cell(row) for column in chosen) for row in rows),
    )


def by_classifier(rows: Sequence[Row]) -> list[tuple[str, Table]]:
    """For a terminal: a title and a narrower table per classifier; the full one is in the page, CSV and JSON."""
    tables = []
    for classifier in dict.fromkeys(row.classifier for row in rows):
        own = [row for row in rows if row.classifier == classifier]
        counts = {(row.counted, row.counted + row.clean_wrong + row.unreadable) for row in own}
        alike = len(counts) == 1
        sizes = formatting.image_sizes(sorted({size for row in own for size in row.image_sizes}))
        which = "the {} of {} images".format(*counts.pop()) if alike else "the images"
        which += f" ({sizes})" if sizes else ""
        full = table(own)
        skipped = {"classifier", "L∞", "passes", *(("images", "left out") if alike else ())}
        if not any(row.control and row.control.hits for row in own):
            skipped.add("random %")
        kept = [i for i, name in enumerate(full.columns) if name not in skipped]
        tables.append(
            (
                f"{classifier}, on {which} that it names right",
                Table(
                    tuple(full.columns[i] for i in kept),
                    tuple(full.meanings[i] for i in kept),
                    tuple(tuple(line[i] for i in kept) for line in full.lines),
                ),
            )
        )
    return tables


def _needed(rows: Sequence[Row]) -> Sequence[Column]:
    def several(values: Sequence[object]) -> bool:
        return len(set(values)) > 1

    wanted = {
        CLASSIFIER: several([row.classifier for row in rows]),
        LEFT_OUT: any(row.clean_wrong or row.unreadable for row in rows),
        SIZE: any(row.size or row.budget is not None for row in rows),
        CONFIRMED_SIZE: any(row.confirmed_size for row in rows),
        UNIT: any(row.unit for row in rows),
        CONTROL: any(row.control for row in rows),
        FEATURES: any(row.unit == "pixels" for row in rows),
        FAILED: any(row.failed for row in rows),
    }
    return [column for column in COLUMNS if wanted.get(column, True)]


def _left_out(row: Row) -> str:
    return str(row.clean_wrong + row.unreadable)


def _found(row: Row) -> str:
    return formatting.share(row.found)


def _confirmed(row: Row) -> str:
    return "no judges" if row.confirmed is None else formatting.share(row.confirmed)


def _size(row: Row) -> str:
    return formatting.size(row.size) if row.budget is None else f"spends {formatting.number(row.budget)}"


def _control(row: Row) -> str:
    return formatting.NONE if row.control is None else formatting.percent(row.control.value)


CLASSIFIER = Column("classifier", "what was tested", lambda row: row.classifier)
LEFT_OUT = Column(
    "left out", "images that the classifier names wrong before any change, or that cannot be read", _left_out
)
SIZE = Column(
    "median size", "the size that fools half of the images; not found counts as beyond all sizes tried", _size
)
CONFIRMED_SIZE = Column(
    "median, confirmed",
    "the same if the label must stay: a change that the judges do not confirm counts as not found up to its size",
    lambda row: formatting.size(row.confirmed_size),
)
UNIT = Column("unit", "what sizes are measured in", lambda row: row.unit or formatting.NONE)
FEATURES = Column(
    "features", "median number of values, channels of pixels, that differ", lambda row: formatting.count(row.features)
)
CONTROL = Column("random %", "share of found images for which a random change of the same size fools too", _control)
FAILED = Column("failed", "searches that could not look; they count as not found", lambda row: str(row.failed))
COLUMNS = (
    Column("change", "the perturbation, coarse to fine", lambda row: row.perturbation),
    CLASSIFIER,
    Column("images", "how many the rates count", lambda row: str(row.counted)),
    LEFT_OUT,
    Column("found %", "share of images for which a change was found that fools the classifier", _found),
    Column("confirmed %", "share for which one was found under which every judge still sees the label", _confirmed),
    SIZE,
    CONFIRMED_SIZE,
    UNIT,
    Column(
        "L2", "median Euclidean distance of found from clean, pixels in [0, 1]", lambda row: formatting.number(row.l2)
    ),
    Column("L∞", "median largest change of a pixel, pixels in [0, 1]", lambda row: formatting.number(row.linf)),
    Column(
        "SSIM", "median structural similarity of found and clean, at most 1", lambda row: formatting.number(row.ssim)
    ),
    FEATURES,
    CONTROL,
    FAILED,
    Column(
        "passes",
        "forward + backward passes through the classifier per image",
        lambda row: f"{row.forward:.0f}+{row.backward:.0f}",
    ),
)
