"""Images and labels in parquet files, read one row group at a time."""

from __future__ import annotations

import bisect
import json
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
from torch import Tensor

from granu import DataError
from granu_datasets import ParquetOptions
from granu_datasets.columns import IMAGES, LABELS, choose_column, class_names, image_file, number_of
from granu_datasets.decoding import decode
from granu_datasets.prepared import prepare, renamed

KEPT = 8  # row groups in memory, because images are mostly read in order


class Parquet:
    """The rows of a file, or of all files of a folder in order of their names; an image's id is `FILE#ROW`."""

    def __init__(self, options: ParquetOptions) -> None:
        self.options = options
        assert options.path is not None  # checked by check_parquet
        path = options.path.expanduser()
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path} holds no parquet files; name a file, or a folder that holds some")
        self.files = [_open(file) for file in files]
        self.names = [file.name for file in files]
        present = self.files[0].schema_arrow.names
        self.image = choose_column(options.image, IMAGES, present, "image", str(path))
        self.label = choose_column(options.label, LABELS, present, "label", str(path))
        self.groups = [
            (file, group)
            for file in range(len(self.files))
            for group in range(self.files[file].metadata.num_row_groups)
        ]
        self.ends: list[int] = []  # index of the first row after each group, over all files
        for file, group in self.groups:
            rows = self.files[file].metadata.row_group(group).num_rows
            self.ends.append(rows + (self.ends[-1] if self.ends else 0))
        if not self.ends or self.ends[-1] == 0:
            raise DataError(f"{path} has no rows")
        self.own_classes = self._classes()
        self.classes: Sequence[str] = renamed(self.own_classes, options)
        self._group = lru_cache(KEPT)(self._read_group)
        self._reading = threading.Lock()  # pyarrow cannot read one file in several threads at once

    def __len__(self) -> int:
        return self.ends[-1]

    def image_id(self, index: int) -> str:
        file = self.groups[bisect.bisect_right(self.ends, index)][0]
        before = sum(self.files[earlier].metadata.num_rows for earlier in range(file))
        return f"{self.names[file]}#{index - before}"

    def read(self, index: int) -> tuple[Tensor, int]:
        name = self.image_id(index)
        group = bisect.bisect_right(self.ends, index)
        with self._reading:
            table = self._group(group)
        row = index - (self.ends[group - 1] if group else 0)
        image = decode(image_file(table[self.image][row].as_py(), name), name)
        return prepare(image, self.options), number_of(table[self.label][row].as_py(), self.own_classes, name)

    def _read_group(self, number: int) -> Any:
        file, group = self.groups[number]
        try:
            return self.files[file].read_row_group(group, columns=[self.image, self.label])
        except (pyarrow.ArrowException, OSError) as problem:
            raise DataError(f"rows of {self.names[file]} cannot be read ({problem})") from None

    def _classes(self) -> tuple[str, ...]:
        metadata = json.loads((self.files[0].schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        feature = metadata.get("info", {}).get("features", {}).get(self.label, {})
        if feature.get("names"):
            return tuple(feature["names"])
        return class_names(label for file in self.files for label in file.read([self.label])[self.label].to_pylist())


def _open(file: Path) -> Any:
    try:
        return pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as problem:
        raise DataError(f"{file} is not a parquet file ({str(problem).splitlines()[0]})") from None
