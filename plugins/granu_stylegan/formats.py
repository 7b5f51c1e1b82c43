"""Reading a StyleGAN2 or StyleGAN3 from any of the known file formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import (
    StoredTensor,
    WeightsError,
    as_state_dict,
    check_shapes,
    is_granu_weights,
    is_safetensors,
    read_all,
    read_header,
    read_torch_file,
    read_weights_header,
    shown,
)
from granu_stylegan import nvidia_pickle, rosinality
from granu_stylegan.arguments import CLAMP, stylegan2_config, stylegan2_config_from_shapes, stylegan3_config
from granu_stylegan.shapes import checked_stylegan2, checked_stylegan3, stylegan2_shapes, stylegan3_shapes

if TYPE_CHECKING:
    from torch import Tensor

STYLEGAN2, STYLEGAN3 = "stylegan2", "stylegan3"
# a tensor that only this architecture has
SIGNS = {"synthesis.b4.const": STYLEGAN2, "synthesis.input.freqs": STYLEGAN3}
AVERAGES = ("G_ema", "g_ema")  # the state dict of the averaged generator in a checkpoint


@dataclass(frozen=True)
class Opened:
    """A network that a file holds, whose arguments fit its tensors.

    `state` reads the tensors, under NVIDIA's names, and imports torch. `unstated` says that the file does not tell
    whether activations are clamped.
    """

    architecture: str
    config: Mapping[str, Any]
    classes: tuple[str, ...]
    state: Callable[[], dict[str, Tensor]]
    unstated: bool = False


def open_weights(file: Path, clamp: float | None = None) -> Opened:
    """Detect the format, and check that the file's arguments fit its tensors. Needs no torch, reads no numbers.

    `clamp` is the `conv_clamp` of a StyleGAN2 whose file does not state it. WeightsError if the file is damaged or of
    another architecture.
    """
    if is_safetensors(file):
        opened, shapes = _own(file) if is_granu_weights(file) else _state_dict(file, read_header(file).tensors)
    elif nvidia_pickle.recognises(file):
        opened, shapes = _nvidia(file)
    else:
        opened, shapes = _torch(file)
    if opened.unstated:
        opened = replace(opened, config={**opened.config, CLAMP: clamp})
    return _checked(opened, shapes, file)


Shapes = Mapping[str, tuple[int, ...]]


def _checked(opened: Opened, shapes: Shapes, file: Path) -> Opened:
    """Complete the configuration, and compare it with the tensors."""
    try:
        if opened.architecture == STYLEGAN2:
            config = checked_stylegan2(opened.config)
            wanted = stylegan2_shapes(config)
        else:
            made = checked_stylegan3(opened.config)
            config, wanted = vars(made), stylegan3_shapes(made)
    except ValueError as problem:
        raise WeightsError(f"{file} describes no network that granu supports: {problem}") from None
    check_shapes(wanted, shapes, file)
    classes = opened.classes or tuple(map(str, range(config["c_dim"])))  # numbers for a file without names
    if len(classes) != config["c_dim"]:
        raise WeightsError(f"the header of {file} names {len(classes)} classes for a network of {config['c_dim']}")
    return replace(opened, config=config, classes=classes)


def _own(file: Path) -> tuple[Opened, Shapes]:
    header, tensors = read_weights_header(file, (STYLEGAN2, STYLEGAN3)), read_header(file).tensors
    if not header.classes and header.config.get("c_dim"):
        raise WeightsError(f"the header of {file} names 0 classes for a network of {shown(header.config['c_dim'])}")
    return Opened(header.architecture, header.config, header.classes, partial(read_all, tensors, file)), _shapes(
        tensors
    )


def _nvidia(file: Path) -> tuple[Opened, Shapes]:
    generator = nvidia_pickle.read_generator(file)
    architecture = _architecture(generator.tensors, file)
    translate = stylegan2_config if architecture == STYLEGAN2 else stylegan3_config
    try:
        config = {**translate(generator.arguments), **generator.stated}
    except (ValueError, TypeError) as problem:
        raise WeightsError(f"{file} holds a network that granu does not support: {problem}") from None
    return Opened(architecture, config, (), partial(read_all, generator.tensors, file)), _shapes(generator.tensors)


def _torch(file: Path) -> tuple[Opened, Shapes]:
    """A state dict, alone or as the average in a checkpoint, with NVIDIA's names or rosinality's."""
    content = read_torch_file(file)
    found = next((content[key] for key in AVERAGES if isinstance(content, dict) and key in content), content)
    if isinstance(found, dict) and any(isinstance(value, dict) for value in found.values()):
        raise WeightsError(
            f"{file} holds {_few(found)}, and none is named {' or '.join(AVERAGES)}; save the average alone"
        )
    tensors = as_state_dict(found, file)
    if not rosinality.recognises(tensors):
        return _state_dict(file, tensors)
    mean = content.get(rosinality.MEAN)
    network = rosinality.read(tensors, mean if isinstance(mean, StoredTensor) else None, file)
    return Opened(STYLEGAN2, _inferred(network.shapes, file), (), network.state), network.shapes


def _state_dict(file: Path, tensors: Mapping[str, StoredTensor]) -> tuple[Opened, Shapes]:
    if _architecture(tensors, file) == STYLEGAN3:
        raise WeightsError(f"{file} holds the tensors of a StyleGAN3 without its arguments; use the .pkl instead")
    shapes = _shapes(tensors)
    return Opened(STYLEGAN2, _inferred(shapes, file), (), partial(read_all, tensors, file), unstated=True), shapes


def _inferred(shapes: Shapes, file: Path) -> dict[str, Any]:
    try:
        return stylegan2_config_from_shapes(shapes)
    except ValueError as problem:
        raise WeightsError(f"{file} holds an incomplete StyleGAN2: {problem}") from None


def _architecture(names: Mapping[str, object], file: Path) -> str:
    for sign, architecture in SIGNS.items():
        if sign in names:
            return architecture
    raise WeightsError(f"{file} holds neither a StyleGAN2 nor a StyleGAN3: it has no {' or '.join(SIGNS)}")


def _shapes(tensors: Mapping[str, StoredTensor]) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _few(names: Mapping[object, object]) -> str:
    return ", ".join(shown(name) for name in list(names)[:5])
