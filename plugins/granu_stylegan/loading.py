"""Generators and sites from weights files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from granu import Site, WeightsHeader, WeightsWarning, load_strictly
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
    opened = open_weights(file, options.clamp)
    if note := unstated_clamp(opened, options):
        warnings.warn(f"{file}: {note}", WeightsWarning, stacklevel=2)
    network = build_network(opened)
    load_strictly(network, opened.state(), file)
    # channels last: a third faster on a CPU, and what GPUs want
    network = network.to(context.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fingerprint = f"{context.used_weights[options.weights]} truncation {options.truncation}"
    if options.clamp is not None and opened.unstated:
        fingerprint += f" clamp {options.clamp}"
    return StyleGANGenerator(
        network,
        sites_of(opened),
        opened.classes,
        options.truncation,
        fingerprint + NOISE_SUFFIX[options.noise],
        options.noise,
        options.starts,
        options.inversion_steps,
    )


def sites_of_weights(options: StyleGANOptions, context: BuildContext) -> Sequence[Site]:
    """List the sites, coarse to fine; without torch."""
    return sites_of(open_weights(context.locate(options.weights), options.clamp))


def describe(options: StyleGANOptions, context: BuildContext) -> Mapping[str, str]:
    """The content of a weights file, for `granu info`."""
    opened = open_weights(context.locate(options.weights), options.clamp)
    R, colours = opened.config["img_resolution"], opened.config["img_channels"]
    note = unstated_clamp(opened, options)
    return {
        "architecture": opened.architecture,
        "classes": ", ".join(opened.classes) or "none",
        "images": f"{R} x {R}, {colours} channel{'s' if colours > 1 else ''}",
        **({"note": note} if note else {}),
    }


def unstated_clamp(opened: Opened, options: StyleGANOptions) -> str:
    """A sentence if it is unknown whether the network clamps its activations; empty if it is known."""
    if not opened.unstated or options.clamp is not None:
        return ""
    return (
        "the file does not state whether activations are clamped, so they are not; "
        "write clamp=256 if they were in training, as in NVIDIA's recipes"
    )


def read_weights(file: Path, options: StyleGANOptions) -> tuple[WeightsHeader, Mapping[str, Tensor]]:
    """Read header and tensors for a granu weights file, from a StyleGAN in any known format."""
    opened = open_weights(file, options.clamp)
    if note := unstated_clamp(opened, options):
        warnings.warn(f"{file}: {note}", WeightsWarning, stacklevel=2)
    return WeightsHeader(opened.architecture, opened.config, opened.classes), opened.state()


def sites_of(opened: Opened) -> Sequence[Site]:
    """List the sites of the network that a file describes."""
    if opened.architecture == STYLEGAN3:
        return list_stylegan3_sites(StyleGAN3Config(**opened.config))
    return list_sites(opened.config)


def build_network(opened: Opened) -> StyleGAN2 | StyleGAN3:
    """Build the network that a file describes, without memory for its weights."""
    import torch

    from granu_stylegan.stylegan2 import StyleGAN2
    from granu_stylegan.stylegan3 import StyleGAN3

    with torch.device("meta"):
        if opened.architecture == STYLEGAN3:
            return StyleGAN3(StyleGAN3Config(**opened.config))
        return StyleGAN2(**opened.config)
