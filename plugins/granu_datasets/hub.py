"""A dataset of the Hugging Face hub, or one saved to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets  # type: ignore[import-not-found, import-untyped, unused-ignore]
from torch import Tensor

from granu import DataError
from granu_datasets import HubOptions
from granu_datasets.columns import IMAGES, LABELS, choose_column, class_names, image_file, number_of
from granu_datasets.decoding import decode
from granu_datasets.prepared import prepare, renamed


class Hub:
    """The rows of one split, memory-mapped; an image's id is `SPLIT#ROW`."""

    def __init__(self, options: HubOptions) -> None:
        self.options = options
        rows = _load(options)
        self.image = choose_column(options.image, IMAGES, rows.column_names, "image", options.source)
        self.label = choose_column(options.label, LABELS, rows.column_names, "label", options.source)
        names = getattr(rows.features[self.label], "names", None)
        self.own_classes = tuple(names) if names else class_names(rows[self.label])
        self.classes: Sequence[str] = renamed(self.own_classes, options)
        # images are decoded here, so that broken ones are reported as for the other sources
        self.rows = rows.cast_column(self.image, datasets.Image(decode=False))

    def __len__(self) -> int:
        return len(self.rows)

    def image_id(self, index: int) -> str:
        return f"{self.options.split}#{index}"

    def read(self, index: int) -> tuple[Tensor, int]:
        name, row = self.image_id(index), self.rows[index]
        image = decode(image_file(row[self.image], name), name)
        return prepare(image, self.options), number_of(row[self.label], self.own_classes, name)


def _load(options: HubOptions) -> Any:
    try:
        return datasets.load_dataset(options.source, options.config, split=options.split)
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise DataError(
            f"the dataset '{options.source}' with split={options.split} cannot be opened ({reason}); without "
            f"network access, download it before with: hf download --repo-type dataset {options.source}"
        ) from problem
