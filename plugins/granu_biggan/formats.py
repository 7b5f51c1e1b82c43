"""Any file or folder that holds a BigGAN: which form it is, its shapes, and its weights under our names."""

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
    """A BigGAN read from disk. `tables` are its weights, with norm statistics by truncation (rows, C)."""

    config: BigGANConfig
    tables: dict[str, Tensor]
    classes: tuple[str, ...] = ()


def own_classes(path: Path) -> tuple[str, ...]:
    """What the classes are called, where the file tells."""
    file = find_file(path)
    return read_weights_header(file, (ARCHITECTURE,)).classes if is_granu_weights(file) else ()


def read_config(path: Path, depth: int | None = None) -> BigGANConfig:
    """The shapes alone; of our own form and of Hugging Face's without torch."""
    file = find_file(path)
    if is_granu_weights(file):
        return _own_config(file)
    if huggingface.is_folder_of_this_form(file.parent):
        return huggingface.read_config(file.parent)
    return _biggan_pytorch_config(file, _read(file), depth)


def open_weights(path: Path, depth: int | None = None) -> Opened:
    """Read whatever form `path` has. WeightsError says what is wrong with it."""
    from granu_biggan.fold import fold_spectral_norm

    file = find_file(path)
    if is_granu_weights(file):
        return Opened(_own_config(file), read_tensors(file), own_classes(file))
    state = _read(file)
    if huggingface.is_folder_of_this_form(file.parent):
        config = huggingface.read_config(file.parent)
        return Opened(config, huggingface.translate(fold_spectral_norm(state), config))
    config = _biggan_pytorch_config(file, state, depth)
    return Opened(config, bigganpytorch.translate(fold_spectral_norm(state)))


def find_file(path: Path) -> Path:
    """The weights file that a path means: itself, or the right one in a folder."""
    if not path.is_dir():
        return path
    if huggingface.is_folder_of_this_form(path):
        return huggingface.weights_file(path)
    return bigganpytorch.prefer_average(path)


def _own_config(file: Path) -> BigGANConfig:
    header = read_weights_header(file, (ARCHITECTURE,))
    try:
        return BigGANConfig.from_json(header.config)
    except (TypeError, ValueError, KeyError) as problem:
        raise WeightsError(f"the header of {file} describes no BigGAN: {problem}") from None


def _biggan_pytorch_config(file: Path, state: dict[str, Tensor], depth: int | None) -> BigGANConfig:
    message = bigganpytorch.depth_from_name(file)
    return bigganpytorch.config_from(state, depth or message)


def _read(file: Path) -> dict[str, Tensor]:
    return read_tensors(file) if is_safetensors(file) else as_state_dict(read_torch_file(file), file)
