"""Reading a BigGAN from any of the known file formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import (
    StoredTensor,
    WeightsError,
    as_state_dict,
    is_granu_weights,
    is_safetensors,
    read_all,
    read_header,
    read_torch_file,
    read_weights_header,
    reason,
)
from granu_biggan import bigganpytorch, huggingface
from granu_biggan.config import BigGANConfig
from granu_biggan.shapes import check_size, check_tables

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


def read_config(path: Path, depth: int | None = None, epsilon: float | None = None) -> BigGANConfig:
    """Read the configuration alone, and check that the file can hold such a network; without torch."""
    return _describe(find_file(path), depth, epsilon)[0]


def open_weights(path: Path, depth: int | None = None, epsilon: float | None = None) -> Opened:
    """Detect the format and read the file. WeightsError if it is damaged or of another architecture."""
    from granu_biggan.fold import fold_spectral_norm

    file = find_file(path)
    config, stored = _describe(file, depth, epsilon)
    state = read_all(stored, file)
    if is_granu_weights(file):
        return Opened(config, state, own_classes(file))
    try:
        folded = fold_spectral_norm(state)
        if huggingface.recognises(file.parent):
            return Opened(config, huggingface.translate(folded, config))
        return Opened(config, bigganpytorch.translate(folded))
    except (RuntimeError, IndexError, KeyError, TypeError, ValueError) as problem:
        raise WeightsError(f"the tensors in {file} do not fit its architecture ({reason(problem)})") from None


def _describe(file: Path, depth: int | None, epsilon: float | None) -> tuple[BigGANConfig, dict[str, StoredTensor]]:
    """Configuration and tensors of a file, whose numbers are not read."""
    if is_granu_weights(file):
        config, stored = _own_config(file), read_header(file).tensors
        check_tables(config, {name: tensor.shape for name, tensor in stored.items()}, file)
        return config, stored
    if not huggingface.recognises(file.parent):
        stored = _read(file)
        return _biggan_pytorch_config(file, stored, depth, epsilon), stored
    config, stored = huggingface.read_config(file.parent), _read(file)
    check_size(config, sum(tensor.numbers for tensor in stored.values()), file)
    return config, stored


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
        raise WeightsError(f"the header of {file} describes no BigGAN: {reason(problem)}") from None


def _biggan_pytorch_config(
    file: Path, state: Mapping[str, StoredTensor], depth: int | None, epsilon: float | None
) -> BigGANConfig:
    named_depth = bigganpytorch.depth_from_name(file)
    return bigganpytorch.config_from(state, depth or named_depth, epsilon)


def _read(file: Path) -> dict[str, StoredTensor]:
    return read_header(file).tensors if is_safetensors(file) else as_state_dict(read_torch_file(file), file)
