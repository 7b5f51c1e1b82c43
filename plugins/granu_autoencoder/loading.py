"""Generators and sites from the files of an autoencoder."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from granu import (
    Site,
    StoredTensor,
    WeightsError,
    as_state_dict,
    check_shapes,
    is_safetensors,
    read_all,
    read_header,
    read_torch_file,
    shown,
    suggest,
)
from granu_autoencoder.architecture import Architecture
from granu_autoencoder.files import ModelFolder, Pair, find_files, read_config, suggest_path
from granu_autoencoder.kl_config import KL, VQ, BlockConfig, read_block_config
from granu_autoencoder.names import rename_attention, rename_tiny
from granu_autoencoder.tiny_layout import TinyLayout, read_layout

if TYPE_CHECKING:
    from torch import nn

    from granu import BuildContext
    from granu_autoencoder import AutoencoderOptions
    from granu_autoencoder.generator import AutoencoderGenerator

T = TypeVar("T")
TINY = "AutoencoderTiny"
TINY_ACTIVATIONS = ("relu", "silu", "swish", "mish", "gelu")
UPSAMPLINGS = ("nearest", "bilinear", "bicubic")
LARGE = 320 * 320  # pixels above which a KL or VQ recomputes activations; a TAESD keeps few that it could spare
WHERE = "the TAESD family is published at https://huggingface.co/madebyollin"


@dataclass(frozen=True)
class Opened:
    """An autoencoder as its files describe it; nothing is built, and no number of a tensor is read."""

    architecture: Architecture
    layout: TinyLayout | BlockConfig
    tensors: Mapping[str, StoredTensor]
    files: Sequence[Path]


def sites_of_weights(options: AutoencoderOptions, context: BuildContext) -> Sequence[Site]:
    """List the sites, coarse to fine."""
    architecture = open_files(options, context).architecture
    return architecture.sites(architecture.fit_size(options.size))


def check(options: AutoencoderOptions, context: BuildContext) -> None:
    """Check files, size and extra, without reading the weights."""
    opened = open_files(options, context)
    opened.architecture.fit_size(options.size)
    if isinstance(opened.layout, BlockConfig) and importlib.util.find_spec("diffusers") is None:
        raise WeightsError(
            f"{opened.files[0]} describes an {opened.layout.kind}, which needs diffusers; install it with pip install "
            "'granu[diffusion]'"
        )


def make_generator(options: AutoencoderOptions, context: BuildContext) -> AutoencoderGenerator:
    """Build the network that the files describe, and load the weights strictly."""
    from granu import build_strictly
    from granu_autoencoder.generator import AutoencoderGenerator
    from granu_autoencoder.recomputing import recompute

    opened = open_files(options, context)
    size = opened.architecture.fit_size(options.size)
    for file in opened.files:
        context.weights(str(file))
    used = " ".join(context.used_weights[str(file)] for file in opened.files)
    file = opened.files[-1]
    network: Any = build_strictly(builder(opened), read_all(opened.tensors, file), file)
    large = isinstance(opened.layout, BlockConfig) and size[0] * size[1] > LARGE
    if options.checkpoint == "yes" or (options.checkpoint == "auto" and large):
        recompute(network.blocks())
    return AutoencoderGenerator(
        network.eval().requires_grad_(False).to(context.device),
        opened.architecture,
        size,
        f"{used} size {size[0]}x{size[1]}",
    )


def builder(opened: Opened) -> Callable[[], nn.Module]:
    """The function that builds the network of opened files."""
    layout = opened.layout
    if isinstance(layout, TinyLayout):
        from granu_autoencoder.tiny import TinyAutoencoder

        return lambda: TinyAutoencoder(layout)
    from granu_autoencoder.kl import BlockAutoencoder

    return lambda: BlockAutoencoder(layout)


def describe(options: AutoencoderOptions, context: BuildContext) -> Mapping[str, str]:
    """The content of the files, for `granu info`."""
    opened = open_files(options, context)
    shape = opened.architecture
    return {
        "architecture": shape.name,
        "files": ", ".join(file.name for file in opened.files),
        "latent": f"{shape.latent_channels} channels at 1/{shape.scale} of the size, {shape.latent}",
        "images": f"{options.size} or any multiple of {shape.scale}, {shape.channels} channels",
        "parameters": f"{sum(tensor.numbers for tensor in opened.tensors.values()):,}",
    }


def open_files(options: AutoencoderOptions, context: BuildContext) -> Opened:
    """Find and describe the files. WeightsError if there are none or they hold no autoencoder; without torch."""
    if not options.weights:
        raise WeightsError(f"`autoencoder` ships no weights; name a folder or file with weights=; {WHERE}")
    if near := suggest_path(Path(options.weights).expanduser()):
        raise WeightsError(f"there are no weights '{shown(options.weights)}': {near}")
    found = find_files(context.locate(options.weights))
    return _open_pair(found) if isinstance(found, Pair) else _open_folder(found)


def _open_pair(pair: Pair) -> Opened:
    tensors = {
        f"{part}.{name}": tensor
        for part, file in (("encoder", pair.encoder), ("decoder", pair.decoder))
        for name, tensor in _read(file).items()
    }
    layout = _of(pair.decoder, lambda: read_layout({name: tensor.shape for name, tensor in tensors.items()}))
    return Opened(layout.architecture("TAESD"), layout, tensors, pair.files)


def _open_folder(folder: ModelFolder) -> Opened:
    given = read_config(folder.config)
    kind = given.get("_class_name")
    if kind not in (KL, VQ, TINY):
        known = suggest(kind, (KL, VQ, TINY)) if isinstance(kind, str) else f"it must be {KL}, {TINY} or {VQ}"
        raise WeightsError(f"{folder.config} describes no autoencoder that granu opens but a {shown(kind)}; {known}")
    tensors = _read(folder.weights)
    if kind == TINY:
        return _open_tiny(folder, given, tensors)
    config = _of(folder.config, lambda: read_block_config(given, kind))
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    wanted = dict(config.some_shapes())
    check_shapes(wanted, {name: shape for name, shape in shapes.items() if name in wanted}, folder.weights)
    return Opened(config.architecture, config, rename_attention(tensors), folder.files)


def _open_tiny(folder: ModelFolder, given: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> Opened:
    activation, upsampling = given.get("act_fn", "relu"), given.get("upsample_fn", "nearest")
    fits = activation in TINY_ACTIVATIONS and upsampling in UPSAMPLINGS
    if not fits or given.get("upsampling_scaling_factor", 2) != 2:
        raise WeightsError(
            f"{folder.config} describes an {TINY} with other functions than {', '.join(TINY_ACTIVATIONS)}, or with "
            "another upsampling than by 2"
        )
    renamed = rename_tiny(tensors)
    shapes = {name: tensor.shape for name, tensor in renamed.items()}
    layout = _of(folder.weights, lambda: read_layout(shapes, activation, upsampling))
    return Opened(layout.architecture(TINY), layout, renamed, folder.files)


def _read(file: Path) -> dict[str, StoredTensor]:
    return read_header(file).tensors if is_safetensors(file) else as_state_dict(read_torch_file(file), file)


def _of(file: Path, read: Callable[[], T]) -> T:
    """Call `read`, with errors that name the file."""
    try:
        return read()
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from None
