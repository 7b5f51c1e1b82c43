"""From a weights file to a generator, and from its header alone to the sites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from granu import Site, WeightsError
from granu.checkpoints import Header, load_strictly, read_header, read_tensors

from granu_stylegan.layout import list_sites

if TYPE_CHECKING:
    from granu.workshop import Workshop

    from granu_stylegan import StyleGANOptions
    from granu_stylegan.generator import StyleGANGenerator

ARCHITECTURE = "stylegan2"


def make_generator(options: StyleGANOptions, workshop: Workshop) -> StyleGANGenerator:
    """Build the network that the header of the weights describes and fill it with exactly these weights."""
    import torch

    from granu_stylegan.generator import StyleGANGenerator
    from granu_stylegan.stylegan2 import StyleGAN2

    file = workshop.weights(options.weights)
    header = read_stylegan_header(file)
    try:
        network = StyleGAN2(**header.config)
    except (TypeError, ValueError) as problem:
        raise WeightsError(f"the header of {file} describes no StyleGAN2: {problem}") from None
    load_strictly(network, read_tensors(file), file)
    # channels last: a third faster on a CPU, and what GPUs want
    network = network.to(workshop.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return StyleGANGenerator(
        network,
        list_sites(header.config),
        header.classes,
        options.truncation,
        f"{workshop.used_weights[options.weights]} truncation {options.truncation}",
    )


def sites_of_weights(options: StyleGANOptions, workshop: Workshop) -> Sequence[Site]:
    """The sites, coarse to fine, told by the header of the weights without torch."""
    file = workshop.locate(options.weights)
    try:
        return list_sites(read_stylegan_header(file).config)
    except KeyError as missing:
        raise WeightsError(f"the header of {file} does not say {missing} of its StyleGAN2") from None


def read_stylegan_header(file: Path) -> Header:
    """The header; WeightsError where it names other classes than the network knows."""
    header = read_header(file, (ARCHITECTURE,))
    classes = header.config.get("c_dim", 0)
    if len(header.classes) != classes:
        raise WeightsError(f"the header of {file} names {len(header.classes)} classes for a network of {classes}")
    return header
