"""From a weights file to a generator, and from what the file says of itself to the sites."""

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


# the usual way is not message, so that what was measured before one could choose is still known by its name
NOISE_TOLD = {"own": "", "stored": " noise stored", "none": " noise none"}


def make_generator(options: StyleGANOptions, context: BuildContext) -> StyleGANGenerator:
    """Build the network that the weights describe and fill it with exactly these weights."""
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
        f"{context.used_weights[options.weights]} truncation {options.truncation}" + NOISE_TOLD[options.noise],
        options.noise,
    )


def sites_of_weights(options: StyleGANOptions, context: BuildContext) -> Sequence[Site]:
    """The sites, coarse to fine; of a safetensors file with a granu header and of a .pkl without torch."""
    file = context.locate(options.weights)
    return sites_of(open_weights(file), file)


def read_weights(file: Path) -> tuple[WeightsHeader, Mapping[str, Tensor]]:
    """What a granu weights file of a StyleGAN would hold."""
    opened = open_weights(file)
    state = opened.state()
    # a file that does not fit is refused now, not when somebody opens what was made of it
    load_strictly(build_network(opened, file), state, file)
    return WeightsHeader(opened.architecture, opened.config, opened.classes), state


def sites_of(opened: Opened, file: Path) -> Sequence[Site]:
    """The sites of the network that a file describes. WeightsError where it leaves something out."""
    if opened.architecture == STYLEGAN3:
        return list_stylegan3_sites(_stylegan3_config(opened, file))
    try:
        return list_sites(opened.config)
    except KeyError as missing:
        raise WeightsError(f"the header of {file} does not say {missing} of its StyleGAN2") from None


def build_network(opened: Opened, file: Path) -> StyleGAN2 | StyleGAN3:
    """The network that a file describes, not yet filled. WeightsError where there is no such network."""
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
