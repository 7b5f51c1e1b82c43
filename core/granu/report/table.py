"""The tables of a run: text cells, the same in a terminal, a notebook and a page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from granu.report import formatting
from granu.report.rows import Row
from granu.runs.trials import CLASSIFIER as INSIDE_CLASSIFIER

NO_IMAGE = "no image"
LEGEND = "found = attack success; confirmed = label-preserving attack success (every judge still sees the label)"


@dataclass(frozen=True)
class Column:
    """A column: its name, its meaning for the reader, and its cell of a row."""

    name: str
    meaning: str
    cell: Callable[[Row], str]


@dataclass(frozen=True)
class Table:
    """Columns, the meaning of each, and a line of cells per row."""

    columns: tuple[str, ...]
    meanings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def table(rows: Sequence[Row]) -> Table:
    """One table of all rows; columns without content are left out."""
    chosen = list(_needed(rows))
    return Table(
        tuple(column.name for column in chosen),
        tuple(column.meaning for column in chosen),
        tuple(tuple(column.cell(row) for column in chosen) for row in rows),
    )


def by_classifier(rows: Sequence[Row]) -> list[tuple[str, Table]]:
    """A title and a table per classifier, without the columns that only the page, CSV and JSON have."""
    tables = []
    for classifier in dict.fromkeys(row.classifier for row in rows):
        own = [row for row in rows if row.classifier == classifier]
        skipped = {"classifier", "L∞", "passes"}
        if _same_images(own):
            skipped |= {"images", "left out"}
        if not any(row.control and row.control.hits for row in own):
            skipped.add("random %")
        tables.append((_title(classifier, own), _without(table(own), skipped)))
    return tables


def _title(classifier: str, own: Sequence[Row]) -> str:
    """`zoo:a: 48 of 50 images classified correctly (32 x 32)`; without numbers where they differ from row to row."""
    sizes = formatting.image_sizes(sorted({size for row in own for size in row.image_sizes}))
    title, first = f"{classifier}: ", own[0]
    if _same_images(own):
        title += f"{first.clean_right} of {first.clean_right + first.clean_wrong} "
    title += "images classified correctly"
    if _same_images(own):
        for number, what in (
            (first.reconstruction_wrong, "misclassified as reconstructions"),
            (first.not_encoded, "not encoded"),
            (first.unreadable, "unreadable"),
        ):
            title += f", {number} {what}" if number else ""
    return f"{title} ({sizes})" if sizes else title


def _same_images(own: Sequence[Row]) -> bool:
    return len({(row.counted, row.clean_wrong, row.unreadable, row.not_encoded) for row in own}) == 1


def _without(full: Table, skipped: Collection[str]) -> Table:
    kept = [i for i, name in enumerate(full.columns) if name not in skipped]
    return Table(
        tuple(full.columns[i] for i in kept),
        tuple(full.meanings[i] for i in kept),
        tuple(tuple(line[i] for i in kept) for line in full.lines),
    )


def _needed(rows: Sequence[Row]) -> Sequence[Column]:
    def several(values: Sequence[object]) -> bool:
        return len(set(values)) > 1

    wanted = {
        CLASSIFIER: several([row.classifier for row in rows]),
        ACCURACY: any(row.accuracy for row in rows),
        LEFT_OUT: any(row.left_out for row in rows),
        SIZE: any(row.size or row.budget is not None for row in rows),
        CONFIRMED_SIZE: any(row.confirmed_size for row in rows),
        UNIT: any(row.unit for row in rows),
        CONTROL: any(row.control for row in rows),
        FEATURES: any(row.unit == "pixels" for row in rows),
        FAILED: any(row.failed for row in rows),
    }
    return [column for column in COLUMNS if wanted.get(column, True)]


def _images(row: Row) -> str:
    return str(row.counted)


def _left_out(row: Row) -> str:
    return str(row.left_out)


def _found(row: Row) -> str:
    return formatting.share(row.found)


def _confirmed(row: Row) -> str:
    if row.evidence == INSIDE_CLASSIFIER:
        return NO_IMAGE
    return "no judges" if row.confirmed is None else formatting.share(row.confirmed)


def _accuracy(row: Row) -> str:
    return formatting.mean_share(row.accuracy)


def _size(row: Row) -> str:
    if len(row.levels) == 1:
        return f"at {row.levels[0]:g}"
    return formatting.size(row.size) if row.budget is None else f"spends {formatting.number(row.budget)}"


def _control(row: Row) -> str:
    return formatting.NONE if row.control is None else formatting.percent(row.control.value)


CLASSIFIER = Column("classifier", "classifier under test", lambda row: row.classifier)
LEFT_OUT = Column(
    "left out",
    "images that cannot be read or encoded, or that the classifier misclassifies before any change, also as a "
    "reconstruction",
    _left_out,
)
ACCURACY = Column(
    "accuracy %",
    "share of images classified correctly under the change, mean over its fixed sizes, or under every change of the "
    "size spent that was tried; images that are misclassified before any change count as wrong",
    _accuracy,
)
SIZE = Column(
    "median size",
    "smallest size that fools the classifier, median over the images that could be searched; what is not found counts "
    "as larger than what was tried",
    _size,
)
CONFIRMED_SIZE = Column(
    "median, confirmed",
    "the same for label-preserving changes: a change that a judge does not confirm counts as not found up to its size",
    lambda row: formatting.size(row.confirmed_size),
)
UNIT = Column("unit", "unit of sizes", lambda row: row.unit or formatting.NONE)
FEATURES = Column(
    "features", "number of values (channels of pixels) that differ, median", lambda row: formatting.count(row.features)
)
CONTROL = Column("random %", "share of found images for which a random change of the same size fools too", _control)
FAILED = Column(
    "failed", "searches that could not run: not found in the rates, left out of the sizes", lambda row: str(row.failed)
)
COLUMNS = (
    Column("change", "perturbation, coarse to fine", lambda row: row.perturbation),
    CLASSIFIER,
    Column("images", "number of images in the rates, all classified correctly before the change", _images),
    LEFT_OUT,
    Column("found %", "attack success: share of images for which a change was found that fools the classifier", _found),
    Column(
        "confirmed %",
        "label-preserving attack success: share for which every judge still sees the label in the found change; "
        f"'{NO_IMAGE}' for changes inside the classifier, which have no image and no judges",
        _confirmed,
    ),
    ACCURACY,
    SIZE,
    CONFIRMED_SIZE,
    UNIT,
    Column(
        "L2",
        "Euclidean distance of found and clean image, pixels in [0, 1], median",
        lambda row: formatting.number(row.l2),
    ),
    Column("L∞", "largest change of a value of a pixel in [0, 1], median", lambda row: formatting.number(row.linf)),
    Column(
        "SSIM", "structural similarity of found and clean images, at most 1, median",
        lambda row: formatting.number(row.ssim),
    ),
    FEATURES,
    CONTROL,
    FAILED,
    Column(
        "passes",
        "forward + backward passes through the classifier per image, mean",
        lambda row: f"{row.forward:.0f}+{row.backward:.0f}",
    ),
)  # fmt: skip
