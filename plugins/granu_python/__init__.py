"""Plugin module of granu_python: your own network, from a Python file or an exported program."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import ClassifierError, ClassifierOffer, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, ImageClassifier


@dataclass(frozen=True)
class NetworkOptions:
    """Options of `python:` and `export:`."""

    source: str = option("", "FILE.py:CALLABLE, MODULE:CALLABLE, or for export: FILE.pt2")
    classes: str | None = option(
        None,
        "class names joined by plus, or a file with one per line; by default the network's own, or those of the "
        "dataset in order",
    )
    size: str | None = option(None, "input size, like 224 or 28x32; by default any")
    channels: int = option(3, "input channels: 1 for grey, 3 for colour", low=1, high=3)
    mean: tuple[float, ...] = option((0.0,), "mean to subtract, per channel in [0, 1] units, like 0.5+0.5+0.5")
    std: tuple[float, ...] = option((1.0,), "standard deviation to divide by, per channel in [0, 1] units")
    fit: str = option("resize", "fitting of images of another size", choices=("resize", "pad"))


@dataclass(frozen=True)
class ExportOptions(NetworkOptions):
    """Options of `export:`."""

    trust: bool = option(False, "yes: you trust the file's author; needed, because reading the file can run code in it")


def check_python(options: NetworkOptions, context: BuildContext) -> None:
    """Check that the file or module exists and that a callable is named."""
    place, colon, name = options.source.rpartition(":")
    if not colon or not place or not name:
        raise ClassifierError(
            f"`python:{options.source}` names no callable; write it like python:mymodel.py:build, "
            "where build() returns the network"
        )
    if place.endswith(".py"):
        if not Path(place).expanduser().is_file():
            raise ClassifierError(f"there is no file {place}; name the file that defines {name}")
        return
    try:
        known = importlib.util.find_spec(place) is not None
    except (ImportError, ValueError):
        known = False
    if not known:
        raise ClassifierError(f"there is no module '{place}'; install it, or name a file as {place}.py:{name}")


def check_export(options: ExportOptions, context: BuildContext) -> None:
    """Check that the file exists and is trusted: torch evaluates expressions and pickles while it reads one."""
    if not options.source:
        raise ClassifierError("`export` names no file; write it like export:FILE.pt2,trust=yes")
    if not Path(options.source).expanduser().is_file():
        raise ClassifierError(f"there is no file {options.source}; torch.export.save writes one")
    if not options.trust:
        raise ClassifierError(
            f"`export:{options.source}` is an exported program, and reading it can run code in it; write "
            f"export:{options.source},trust=yes if you trust its author"
        )


def make_python(options: NetworkOptions, context: BuildContext) -> ImageClassifier:
    from granu_python.building import make_classifier
    from granu_python.loading import load_callable

    return make_classifier(load_callable(options.source), f"python:{options.source}", options)


def make_export(options: ExportOptions, context: BuildContext) -> ImageClassifier:
    from granu_python.building import make_classifier
    from granu_python.exported import load_exported

    check_export(options, context)  # whoever builds it without a plan must trust it too
    return make_classifier(load_exported(context.weights(options.source)), f"export:{options.source}", options)


@hookimpl
def granu_classifiers() -> Sequence[ClassifierOffer]:
    return [
        ClassifierOffer(
            name="python",
            summary="your own network: FILE.py:CALLABLE or MODULE:CALLABLE",
            options=NetworkOptions,
            target="source",
            make=make_python,
            check=check_python,
            licence="that of the network",
        ),
        ClassifierOffer(
            name="export",
            summary="a network saved by torch.export, which can run code: FILE.pt2,trust=yes",
            options=ExportOptions,
            target="source",
            make=make_export,
            check=check_export,
            licence="that of the network",
        ),
    ]
