"""Rows of a table as images and labels: which columns, and what the classes are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from granu import DataError, OptionError, suggest

IMAGES = ("image", "img")
LABELS = ("label", "labels", "fine_label")


def choose_column(wanted: str | None, usual: Sequence[str], present: Sequence[str], option: str, source: str) -> str:
    """The column that was named, or the first usual one that is present. OptionError with what there is."""
    if wanted is not None:
        if wanted not in present:
            raise OptionError(f"`{source}` has no column '{wanted}'; {suggest(wanted, present)}")
        return wanted
    for name in usual:
        if name in present:
            return name
    raise OptionError(f"`{source}` has no column {' or '.join(usual)}; name one with {option}=: {', '.join(present)}")


def class_names(labels: Iterable[Any]) -> tuple[str, ...]:
    """Names for labels that bring none: words as they are, sorted; whole numbers from 0 to the largest."""
    known = {label for label in labels if label is not None}
    if all(isinstance(label, str) for label in known):
        return tuple(sorted(known))
    if all(isinstance(label, int) for label in known):
        return tuple(str(number) for number in range(max(known) + 1))
    raise DataError("labels must be whole numbers or words")


def number_of(label: Any, classes: Sequence[str], name: str) -> int:
    """A label's class number. DataError where the row has none."""
    if isinstance(label, str) and label in classes:
        return classes.index(label)
    if isinstance(label, int) and 0 <= label < len(classes):
        return label
    raise DataError(f"{name} has the label {label}, which is none of its {len(classes)} classes")


def image_file(cell: Any, name: str) -> bytes | Path:
    """The file that a cell holds: its bytes, or Hugging Face's pair of bytes and a path, either of which may do."""
    data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if isinstance(data, bytes):
        return data
    if isinstance(path, str) and Path(path).is_file():
        return Path(path)
    raise DataError(f"{name} holds no image")
