"""`granu convert IN OUT`: write another project's generator weights as a granu weights file, which runs no code."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from granu.cli import show
from granu.errors import WeightsError
from granu.plugins.catalog import Catalog, load_catalog
from granu.plugins.offers import GeneratorOffer
from granu.plugins.spec import Spec, parse_spec


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Weights that a generator can read, a file or folder.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The safetensors file to write.")],
    generator: Annotated[
        str,
        typer.Option("--as", help="The generator that reads them, with options if needed, like biggan:depth=4."),
    ] = "",
    classes: Annotated[str, typer.Option(help="Names of its classes, in order, separated by commas.")] = "",
) -> None:
    """Convert a generator's weights to granu's format. No code in the file is run."""
    from granu.weights.checkpoints import save_weights, sha256

    if not source.exists():
        raise WeightsError(f"{source} does not exist; name a weights file or folder")
    if target.exists():
        raise WeightsError(f"{target} already exists; name a new file")
    if not target.parent.is_dir():
        raise WeightsError(f"there is no folder {target.parent}; make it first")
    name, header, tensors = _read(load_catalog(), source, generator)
    header = dataclasses.replace(header, about={**header.about, "converted": source.name, "sha256": sha256(source)})
    if classes:
        header = dataclasses.replace(header, classes=_names(classes, len(header.classes)))
    try:
        save_weights(target, tensors, header)
    except OSError as problem:
        raise WeightsError(f"cannot write {target}: {problem.strerror or problem}") from None
    show.say(f"{target}: {header.architecture}, {len(header.classes) or 'no'} classes, {len(tensors)} tensors")
    show.say(f"try: granu info {name}:weights={target}")


def _read(catalog: Catalog, source: Path, generator: str):  # type: ignore[no-untyped-def]  # Tensor would need torch
    """Return (generator, header, tensors) from the first generator that reads the source.

    Raises WeightsError with each generator's reason if none does.
    """
    specs = [parse_spec(generator)] if generator else [Spec(name) for name in catalog.of_kind("generator")]
    refusals = []
    for spec in specs:
        resolved = catalog.resolve("generator", spec)
        offer = resolved.offer
        if not isinstance(offer, GeneratorOffer) or offer.read is None:
            continue
        try:
            return spec.name, *offer.read(source, resolved.options)
        except WeightsError as refusal:
            refusals.append(f"{spec.name}: {refusal}")
    if not refusals:
        unable = f"the generator '{generator}' converts no weights" if generator else "no installed generator does"
        raise WeightsError(f"cannot convert {source}: {unable}")
    raise WeightsError("\n  ".join([f"no generator reads {source}", *refusals]))


def _names(text: str, count: int) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != count:
        raise WeightsError(f"--classes names {len(names)} classes; the network has {count}")
    return names
