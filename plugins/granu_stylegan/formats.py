"""Reading a StyleGAN2 or StyleGAN3 from any of the known file formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import (
    WeightsError,
    as_state_dict,
    is_granu_weights,
    is_safetensors,
    read_tensors,
    read_torch_file,
    read_weights_header,
)
from granu_stylegan import nvidia_pickle, rosinality
from granu_stylegan.arguments import stylegan2_config, stylegan2_config_from_shapes, stylegan3_config

if TYPE_CHECKING:
    from torch import Tensor

STYLEGAN2, STYLEGAN3 = "stylegan2", "stylegan3"
# a tensor that only this architecture has
SIGNS = {"synthesis.b4.const": STYLEGAN2, "synthesis.input.freqs": STYLEGAN3}


@dataclass(frozen=True)
class Opened:
    """A network read from a file. `state` reads the tensors, under NVIDIA's names, and imports torch."""

    architecture: str
    config: Mapping[str, Any]
    classes: tuple[str, ...]
    state: Callable[[], dict[str, Tensor]]


def open_weights(file: Path) -> Opened:
    """Detect the format and read the file. WeightsError if it is damaged or of another architecture."""
    if file.is_dir():
        raise WeightsError(f"{file} is a folder; name the weights file inside it")
    if is_safetensors(file):
        return _own(file) if is_granu_weights(file) else _state_dict(file, read_tensors(file))
    if nvidia_pickle.recognises(file):
        return _nvidia(file)
    content = read_torch_file(file)
    if rosinality.recognises(content):
        return _state_dict(file, rosinality.translate(content))
    return _state_dict(file, as_state_dict(content, file))


def _own(file: Path) -> Opened:
    header = read_weights_header(file, (STYLEGAN2, STYLEGAN3))
    classes = header.config.get("c_dim", 0)
    if len(header.classes) != classes:
        raise WeightsError(f"the header of {file} names {len(header.classes)} classes for a network of {classes}")
    return Opened(header.architecture, header.config, header.classes, partial(read_tensors, file))


def _nvidia(file: Path) -> Opened:
    generator = nvidia_pickle.read_generator(file)
    architecture = _architecture(generator.records, file)
    translate = stylegan2_config if architecture == STYLEGAN2 else stylegan3_config
    try:
        config = translate(generator.arguments)
        classes = _numbers(config)
    except (ValueError, TypeError) as problem:
        raise WeightsError(f"{file} holds a network that granu does not support: {problem}") from None
    return Opened(architecture, config, classes, generator.state)


def _state_dict(file: Path, state: dict[str, Tensor]) -> Opened:
    if _architecture(state, file) == STYLEGAN3:
        raise WeightsError(f"{file} holds the tensors of a StyleGAN3 without its arguments; use the .pkl instead")
    try:
        config = stylegan2_config_from_shapes({name: tuple(tensor.shape) for name, tensor in state.items()})
    except (KeyError, IndexError, ValueError) as problem:
        raise WeightsError(f"{file} holds an incomplete StyleGAN2: {problem} is missing") from None
    return Opened(STYLEGAN2, config, _numbers(config), lambda: state)


def _architecture(names: Mapping[str, object], file: Path) -> str:
    for sign, architecture in SIGNS.items():
        if sign in names:
            return architecture
    raise WeightsError(f"{file} holds neither a StyleGAN2 nor a StyleGAN3: it has no {' or '.join(SIGNS)}")


def _numbers(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names for a file without names: 0, 1, 2, ..."""
    return tuple(str(number) for number in range(config.get("c_dim", 0)))
