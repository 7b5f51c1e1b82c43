"""Plugin module of granu_file: classifiers that granu trained, from their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from granu import ClassifierOffer, OptionError, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, ImageClassifier, TrainedHeader


@dataclass(frozen=True)
class FileOptions:
    """Options of `file:`."""

    file: str = option("", "file of a trained classifier, as `granu train --out` writes it")
    route: str = option("main", "the route of the file to evaluate: main, another that it holds, or mean for all")
    network: str | None = option(
        None, "the network that the weights are of, like python:mymodel.py:build; only for networks of your own code"
    )


def check(options: FileOptions, context: BuildContext) -> None:
    """Check the file's header, that it has the route, and that its network can be built."""
    header = read_header(options, context)
    header.check_route(options.route)
    if options.network is None:
        header.builder(context.catalog)
    else:
        from granu_file.own_network import check_own_network

        check_own_network(options.network, header, context)


def make(options: FileOptions, context: BuildContext) -> ImageClassifier:
    from granu import load_trained

    own = None
    if options.network is not None:
        from granu_file.own_network import build_own_network

        own = build_own_network(options.network, read_header(options, context), context)
    file = context.weights(options.file)
    return load_trained(file, context, options.route, name=f"file:{options.file}", network=own).to(context.device)


def describe(options: FileOptions, context: BuildContext) -> Mapping[str, Any]:
    """The statements of the file's header."""
    header = read_header(options, context)
    return {
        "architecture": header.architecture or "a network of your own code",
        "config": header.config,
        "classes": header.classes,
        "routes": header.choices,
        **header.about,
    }


def read_header(options: FileOptions, context: BuildContext) -> TrainedHeader:
    """Read the header of the file. OptionError if none is named."""
    from granu import read_trained

    if not options.file:
        raise OptionError("`file` names no file; write it like file:FILE.safetensors")
    return read_trained(context.locate(options.file))


@hookimpl
def granu_classifiers() -> Sequence[ClassifierOffer]:
    return [
        ClassifierOffer(
            name="file",
            summary="a classifier that granu trained, from its file",
            options=FileOptions,
            target="file",
            make=make,
            check=check,
            describe=describe,
            licence="that of the weights",
        )
    ]
