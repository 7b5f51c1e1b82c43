"""Reading a BigGAN from any of the known file formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import (
    WeightsError,
    as_state_dict,
    is_granu_weights,
    is_safetensors,
    read_tensors,
    read_torch_file,
    read_weights_header,
)
from granu_biggan import bigganpytorch, huggingface
from granu_biggan.config import BigGANConfig

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURE = "biggan"


@dataclass(frozen=True)
class Opened:
    """A BigGAN read from a file. `tables` are its weights, with norm statistics by truncation (rows, C)."""

    config: BigGANConfig
    tables: dict[str, Tensor]
    classes: tuple[str, ...] = ()


def own_classes(path: Path) -> tuple[str, ...]:
    """Class names from the file; empty if it has none."""
    file = find_file(path)
    return read_weights_header(file, (ARCHITECTURE,)).classes if is_granu_weights(file) else ()


def read_config(path: Path, depth: int | None = None) -> BigGANConfig:
    """Read the configuration alone; without torch for granu weights and Hugging Face's format."""
    file = find_file(path)
    if is_granu_weights(file):
        return _own_config(file)
    if huggingface.recognises(file.parent):
        return huggingface.read_config(file.parent)
    return _biggan_pytorch_config(file, _read(file), depth)


def open_weights(path: Path, depth: int | None = None) -> Opened:
    """Detect the format and read the file. WeightsError if it is damaged or of another architecture."""
    from granu_biggan.fold import fold_spectral_norm

    file = find_file(path)
    if is_granu_weights(file):
        return Opened(_own_config(file), read_tensors(file), own_classes(file))
    state = _read(file)
    if huggingface.recognises(file.parent):
        config = huggingface.read_config(file.parent)
        return Opened(config, huggingface.translate(fold_spectral_norm(state), config))
    config = _biggan_pytorch_config(file, state, depth)
    return Opened(config, bigganpytorch.translate(fold_spectral_norm(state)))


def find_file(path: Path) -> Path:
    """Find the weights file: the path itself, or the right file in a folder."""
    if not path.is_dir():
        return path
    if huggingface.recognises(path):
        return huggingface.weights_file(path)
    return bigganpytorch.find_average(path)


def _own_config(file: Path) -> BigGANConfig:
    header = read_weights_header(file, (ARCHITECTURE,))
    try:
        return BigGANConfig.from_json(header.config)
    except (TypeError, ValueError, KeyError) as problem:
        raise WeightsError(f"the header of {file} describes no BigGAN: {problem}") from None


def _biggan_pytorch_config(file: Path, state: dict[str, Tensor], depth: int | None) -> BigGANConfig:
    named_depth = bigganpytorch.depth_from_name(file)
    return bigganpytorch.config_from(state, depth or named_depth)


def _read(file: Path) -> dict[str, Tensor]:
    return read_tensors(file) if is_safetensors(file) else as_state_dict(read_torch_file(file), file)
