"""`granu convert IN OUT`: somebody else's generator as a granu weights file, which opens fast and runs nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from granu.cli import show
from granu.errors import WeightsError
from granu.plugins.catalog import Catalog, load_catalog
from granu.plugins.offers import GeneratorOffer
from granu.weights.checkpoints import save_weights, sha256


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file or folder that one of the generators opens.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The safetensors file to write.")],
    generator: Annotated[str, typer.Option("--as", help="The generator to ask; if not given, each in turn.")] = "",
    classes: Annotated[str, typer.Option(help="What its classes are called, in order, with commas between.")] = "",
) -> None:
    """Write a generator's weights in granu's own form; nothing that the file carries is run."""
    if not source.exists():
        raise WeightsError(f"there is no {source}")
    if target.exists():
        raise WeightsError(f"{target} exists; name a file that does not")
    name, header, tensors = _read(load_catalog(), source, generator)
    header = dataclasses.replace(header, about={**header.about, "converted": source.name, "sha256": sha256(source)})
    if classes:
        header = dataclasses.replace(header, classes=_names(classes, len(header.classes)))
    save_weights(target, tensors, header)
    show.say(f"{target}: {header.architecture}, {len(header.classes) or 'no'} classes, {len(tensors)} tensors")
    show.say(f"try: granu info {name}:weights={target}")


def _read(catalog: Catalog, source: Path, generator: str):  # type: ignore[no-untyped-def]  # Tensor would need torch
    """What the first generator that opens the source says of it. WeightsError with the reasons where none does."""
    names = [generator] if generator else list(catalog.of_kind("generator"))
    refusals = []
    for name in names:
        offer = catalog.find("generator", name).offer
        if not isinstance(offer, GeneratorOffer) or offer.read is None:
            continue
        try:
            return name, *offer.read(source)
        except WeightsError as refusal:
            refusals.append(f"{name}: {refusal}")
    if not refusals:
        raise WeightsError(f"'{generator}' reads no weights of others" if generator else "no generator is installed")
    raise WeightsError("\n  ".join([f"no generator opens {source}", *refusals]))


def _names(text: str, count: int) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != count:
        raise WeightsError(f"--classes names {len(names)} classes; the network has {count}")
    return names
