"""Generators and sites from weights files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from granu import Site, WeightsError, WeightsHeader, load_strictly
from granu_stylegan.formats import STYLEGAN3, Opened, open_weights
from granu_stylegan.layout import list_sites, list_stylegan3_sites
from granu_stylegan.stylegan3_config import StyleGAN3Config

if TYPE_CHECKING:
    from torch import Tensor

    from granu import BuildContext
    from granu_stylegan import StyleGANOptions
    from granu_stylegan.generator import StyleGANGenerator
    from granu_stylegan.stylegan2 import StyleGAN2
    from granu_stylegan.stylegan3 import StyleGAN3


# the default adds nothing, so that statistics measured before the option existed remain valid
NOISE_SUFFIX = {"own": "", "stored": " noise stored", "none": " noise none"}


def make_generator(options: StyleGANOptions, context: BuildContext) -> StyleGANGenerator:
    """Build the network that a weights file describes, and load the weights strictly."""
    import torch

    from granu_stylegan.generator import StyleGANGenerator

    file = context.weights(options.weights)
    opened = open_weights(file)
    network = build_network(opened, file)
    load_strictly(network, opened.state(), file)
    # channels last: a third faster on a CPU, and what GPUs want
    network = network.to(context.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return StyleGANGenerator(
        network,
        sites_of(opened, file),
        opened.classes,
        options.truncation,
        f"{context.used_weights[options.weights]} truncation {options.truncation}" + NOISE_SUFFIX[options.noise],
        options.noise,
    )


def sites_of_weights(options: StyleGANOptions, context: BuildContext) -> Sequence[Site]:
    """List the sites, coarse to fine; without torch for a granu weights file and for a .pkl."""
    file = context.locate(options.weights)
    return sites_of(open_weights(file), file)


def read_weights(file: Path) -> tuple[WeightsHeader, Mapping[str, Tensor]]:
    """Read header and tensors for a granu weights file, from a StyleGAN in any known format."""
    opened = open_weights(file)
    state = opened.state()
    # so that a file that does not fit is refused here and not after the conversion
    load_strictly(build_network(opened, file), state, file)
    return WeightsHeader(opened.architecture, opened.config, opened.classes), state


def sites_of(opened: Opened, file: Path) -> Sequence[Site]:
    """List the sites of the network that a file describes. WeightsError if an argument is missing."""
    if opened.architecture == STYLEGAN3:
        return list_stylegan3_sites(_stylegan3_config(opened, file))
    try:
        return list_sites(opened.config)
    except KeyError as missing:
        raise WeightsError(f"the header of {file} lacks {missing} of its StyleGAN2") from None


def build_network(opened: Opened, file: Path) -> StyleGAN2 | StyleGAN3:
    """Build the network that a file describes, with random weights. WeightsError if there is no such network."""
    from granu_stylegan.stylegan2 import StyleGAN2
    from granu_stylegan.stylegan3 import StyleGAN3

    if opened.architecture == STYLEGAN3:
        return StyleGAN3(_stylegan3_config(opened, file))
    try:
        return StyleGAN2(**opened.config)
    except (TypeError, ValueError) as problem:
        raise WeightsError(f"the header of {file} describes no StyleGAN2: {problem}") from None


def _stylegan3_config(opened: Opened, file: Path) -> StyleGAN3Config:
    try:
        return StyleGAN3Config(**opened.config)
    except TypeError as problem:
        raise WeightsError(f"the header of {file} describes no StyleGAN3: {problem}") from None
