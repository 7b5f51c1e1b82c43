"""Columns, class names and labels of tables of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from granu import DataError, OptionError, suggest

IMAGES = ("image", "img")
LABELS = ("label", "labels", "fine_label")


def choose_column(wanted: str | None, usual: Sequence[str], present: Sequence[str], option: str, source: str) -> str:
    """The wanted column, or the first usual one that is present. OptionError lists the columns otherwise."""
    if wanted is not None:
        if wanted not in present:
            raise OptionError(f"`{source}` has no column '{wanted}'; {suggest(wanted, present)}")
        return wanted
    for name in usual:
        if name in present:
            return name
    raise OptionError(f"`{source}` has no column {' or '.join(usual)}; name one with {option}=: {', '.join(present)}")


def class_names(labels: Iterable[Any]) -> tuple[str, ...]:
    """Class names from labels: words, sorted, or all numbers from 0 to the largest."""
    known = {label for label in labels if label is not None}
    if all(isinstance(label, str) for label in known):
        return tuple(sorted(known))
    if all(isinstance(label, int) for label in known):
        return tuple(str(number) for number in range(max(known) + 1))
    raise DataError("labels must be integers or strings")


def number_of(label: Any, classes: Sequence[str], name: str) -> int:
    """A label's class number. DataError if the label is not one of the classes."""
    if isinstance(label, str) and label in classes:
        return classes.index(label)
    if isinstance(label, int) and 0 <= label < len(classes):
        return label
    raise DataError(f"{name} has the label {label}, which is not one of its {len(classes)} classes")


def image_file(cell: Any, name: str) -> bytes | Path:
    """The image file in a cell: bytes, or Hugging Face's dictionary of bytes and path. DataError if there is none."""
    data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if isinstance(data, bytes):
        return data
    if isinstance(path, str) and Path(path).is_file():
        return Path(path)
    raise DataError(f"{name} holds no image")
