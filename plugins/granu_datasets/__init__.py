"""Plugin module of granu_datasets: labelled images from folders, parquet files and Hugging Face datasets."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import DataError, DatasetOffer, OptionError, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, Dataset


@dataclass(frozen=True)
class ImageOptions:
    """Options of all sources; by default images are left unchanged."""

    size: int | None = option(None, "resize the shorter side to this, then crop the central square", low=1)
    colour: str = option(
        "keep", "convert all images to colour or to grey; keep: leave them as they are", choices=("keep", "rgb", "grey")
    )
    names: Path | None = option(
        None, "a table that renames classes, one per line: name in the dataset, tab, name for the classifier"
    )


@dataclass(frozen=True)
class FolderOptions(ImageOptions):
    """Options of `folder:`."""

    path: Path | None = option(None, "folder with one subfolder per class")


@dataclass(frozen=True)
class ColumnOptions(ImageOptions):
    """Options of sources whose rows hold an image and a label."""

    image: str | None = option(None, "column of images; by default image or img")
    label: str | None = option(None, "column of labels; by default label, labels or fine_label")


@dataclass(frozen=True)
class ParquetOptions(ColumnOptions):
    """Options of `parquet:`."""

    path: Path | None = option(None, "parquet file, or folder of them")


@dataclass(frozen=True)
class HubOptions(ColumnOptions):
    """Options of `datasets:`."""

    source: str = option("", "name on the hub, or folder")
    split: str = option("test", "split to use")
    config: str | None = option(None, "configuration to use")


def check_folder(options: FolderOptions, context: BuildContext) -> None:
    """Check that a folder is named and exists."""
    if options.path is None:
        raise OptionError("`folder` names no folder; write it like folder:val")
    if not options.path.expanduser().is_dir():
        raise DataError(f"there is no folder {options.path}; name one with a subfolder per class")
    _check_names(options)


def check_parquet(options: ParquetOptions, context: BuildContext) -> None:
    """Check that a file is named and exists, and that pyarrow is installed."""
    if options.path is None:
        raise OptionError("`parquet` names no file; write it like parquet:test.parquet")
    if not options.path.expanduser().exists():
        raise DataError(f"there is no file {options.path}; name a parquet file or a folder of them")
    _check_installed("pyarrow", "parquet")
    _check_names(options)


def check_hub(options: HubOptions, context: BuildContext) -> None:
    """Check that a dataset is named and that the package datasets is installed."""
    if not options.source:
        raise OptionError("`datasets` names no dataset; write it like datasets:cifar10,split=test")
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
            summary="images in one folder per class",
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
            summary="a dataset of the Hugging Face hub",
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
            f"there is no table {options.names}; it needs one line per class: name here, tab, name for the classifier"
        )
