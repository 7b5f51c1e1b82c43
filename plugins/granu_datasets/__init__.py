"""Plugin module of granu_datasets: labelled images from folders, parquet files and Hugging Face data sets."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import DataError, DatasetOffer, OptionError, hookimpl, option

if TYPE_CHECKING:
    from granu.plugins.context import BuildContext
    from granu.types import Dataset


@dataclass(frozen=True)
class ImageOptions:
    """How images are brought to one form; by default they are taken as they are."""

    size: int | None = option(None, "shorter side is resized to this and the middle cut out as a square", low=1)
    colour: str = option("keep", "grey images stay grey, or all become one kind", choices=("keep", "rgb", "grey"))
    names: Path | None = option(None, "a table with a class a line: its name here, a tab, its name to the classifier")


@dataclass(frozen=True)
class FolderOptions(ImageOptions):
    """A folder with a folder per class."""

    path: Path | None = option(None, "the folder")


@dataclass(frozen=True)
class ColumnOptions(ImageOptions):
    """Rows with an image and a label."""

    image: str | None = option(None, "the column of images; by default image or img")
    label: str | None = option(None, "the column of labels; by default label, labels or fine_label")


@dataclass(frozen=True)
class ParquetOptions(ColumnOptions):
    """A parquet file, or a folder of them."""

    path: Path | None = option(None, "the file, or a folder of files")


@dataclass(frozen=True)
class HubOptions(ColumnOptions):
    """A Hugging Face data set."""

    source: str = option("", "its name on the hub, or its folder")
    split: str = option("test", "which part of it")
    config: str | None = option(None, "which of its configurations")


def check_folder(options: FolderOptions, context: BuildContext) -> None:
    """Whether the folder is there."""
    if options.path is None:
        raise OptionError("`folder` names no folder; write it like folder:val")
    if not options.path.expanduser().is_dir():
        raise DataError(f"there is no folder {options.path}; name one that holds a folder per class")
    _check_names(options)


def check_parquet(options: ParquetOptions, context: BuildContext) -> None:
    """Whether the file is there, and what reads it."""
    if options.path is None:
        raise OptionError("`parquet` names no file; write it like parquet:test.parquet")
    if not options.path.expanduser().exists():
        raise DataError(f"there is no file {options.path}; name a parquet file or a folder of them")
    _check_installed("pyarrow", "parquet")
    _check_names(options)


def check_hub(options: HubOptions, context: BuildContext) -> None:
    """Whether a data set is named, and what reads it."""
    if not options.source:
        raise OptionError("`datasets` names no data set; write it like datasets:cifar10,split=test")
    _check_installed("datasets", "datasets")
    _check_names(options)


def make_folder(options: FolderOptions, context: BuildContext) -> Dataset:
    from granu_datasets.folder import Folder

    return Folder(options)


def make_parquet(options: ParquetOptions, context: BuildContext) -> Dataset:
    from granu_datasets.parquet import Parquet

    return Parquet(options)


def make_hub(options: HubOptions, context: BuildContext) -> Dataset:
    from granu_datasets.hub import Hub

    return Hub(options)


@hookimpl
def granu_datasets() -> Sequence[DatasetOffer]:
    licence = "that of the images"
    return [
        DatasetOffer(
            name="folder",
            summary="images in a folder per class",
            options=FolderOptions,
            target="path",
            make=make_folder,
            check=check_folder,
            licence=licence,
        ),
        DatasetOffer(
            name="parquet",
            summary="images and labels in parquet files",
            options=ParquetOptions,
            target="path",
            make=make_parquet,
            check=check_parquet,
            licence=licence,
        ),
        DatasetOffer(
            name="datasets",
            summary="a data set of the Hugging Face hub",
            options=HubOptions,
            target="source",
            make=make_hub,
            check=check_hub,
            licence=licence,
        ),
    ]


def _check_installed(package: str, name: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise DataError(f"`{name}` needs {package}; install it with pip install 'granu[datasets]'")


def _check_names(options: ImageOptions) -> None:
    if options.names is not None and not options.names.expanduser().is_file():
        raise DataError(
            f"there is no table {options.names}; write a line per class: its name here, a tab, its other name"
        )
