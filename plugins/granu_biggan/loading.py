"""Generators and sites from weights files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from granu import Site, WeightsError, WeightsHeader, load_strictly
from granu_biggan.classes import choose_classes, class_names
from granu_biggan.formats import ARCHITECTURE, find_file, open_weights, own_classes, read_config
from granu_biggan.layout import list_sites

if TYPE_CHECKING:
    from torch import Tensor

    from granu import BuildContext
    from granu_biggan import BigGANOptions
    from granu_biggan.config import BigGANConfig
    from granu_biggan.generator import BigGANGenerator
    from granu_biggan.network import BigGAN

SHOWN_CLASSES = 20
DEFAULT_TRUNCATION = 0.4  # Dunn et al. 2020


def sites_of_weights(options: BigGANOptions, context: BuildContext) -> Sequence[Site]:
    """List the sites, coarse to fine."""
    return list_sites(read_config(context.locate(options.weights), options.depth, options.epsilon))


def check(options: BigGANOptions, context: BuildContext) -> None:
    """Check `classes=`, without reading the weights. OptionError if there is no such class."""
    if options.classes:
        path = context.locate(options.weights)
        config = read_config(path, options.depth, options.epsilon)
        chosen(options, class_names(config.classes, own_classes(path)))


def make_generator(options: BigGANOptions, context: BuildContext) -> BigGANGenerator:
    """Build the network that a weights file describes, and load the weights strictly."""
    from granu_biggan.generator import BigGANGenerator
    from granu_biggan.statistics import at_truncation

    path = context.weights(options.weights)
    opened = open_weights(path, options.depth, options.epsilon)
    names = class_names(opened.config.classes, opened.classes)
    if len(names) != opened.config.classes:
        raise WeightsError(f"{path} names {len(names)} classes for a network of {opened.config.classes}")
    labels = chosen(options, names)
    truncation = default_truncation(opened.tables) if options.truncation is None else options.truncation
    network = build_network(opened.config)
    load_strictly(network, at_truncation(opened.tables, truncation), find_file(path))
    fingerprint = f"{context.used_weights[options.weights]} truncation {truncation}"
    if options.epsilon is not None:
        fingerprint += f" epsilon {opened.config.epsilon}"
    network = network.eval().requires_grad_(False).to(context.device)
    how = (options.starts, options.inversion_steps)
    return BigGANGenerator(network, names, labels, truncation, fingerprint, *how)


def chosen(options: BigGANOptions, names: Sequence[str]) -> Sequence[int]:
    """The class numbers to draw."""
    return choose_classes(options.classes, names, f"biggan:classes={','.join(options.classes)}")


def build_network(config: BigGANConfig) -> BigGAN:
    """Build a network, without memory for its weights."""
    import torch

    from granu_biggan.network import BigGAN

    with torch.device("meta"):
        return BigGAN(config)


def describe(options: BigGANOptions, context: BuildContext) -> Mapping[str, str]:
    """The content of a weights file, for `granu info`."""
    path = context.locate(options.weights)
    config = read_config(path, options.depth, options.epsilon)
    names = class_names(config.classes, own_classes(path))
    kinds = {plan.kind for plan in config.layers}
    _, height, width = config.feature_maps[-1]
    return {
        "architecture": "BigGAN-deep" if "bottleneck" in kinds else "BigGAN",
        "classes": ", ".join(names) if len(names) <= SHOWN_CLASSES else f"{len(names)}, {names[0]} to {names[-1]}",
        "images": f"{height} x {width}, {config.channels} channel{'s' if config.channels > 1 else ''}",
        "epsilon of norms": f"{config.epsilon:g}",
    }


def read_weights(path: Path, options: BigGANOptions) -> tuple[WeightsHeader, Mapping[str, Tensor]]:
    """Read header and tensors for a granu weights file, with norm statistics for every truncation."""
    from granu_biggan.statistics import at_truncation

    opened = open_weights(path, options.depth, options.epsilon)
    names = class_names(opened.config.classes, opened.classes)
    # so that a file that does not fit is refused here and not after the conversion
    load_strictly(build_network(opened.config), at_truncation(opened.tables, 1.0), find_file(path))
    return WeightsHeader(ARCHITECTURE, opened.config.to_json(), names), opened.tables


def default_truncation(tables: dict[str, Tensor]) -> float:
    """0.4 if the weights hold norm statistics by truncation; otherwise 1, which their single set belongs to."""
    return DEFAULT_TRUNCATION if len(tables.get("norm.mean", ())) > 1 else 1.0
