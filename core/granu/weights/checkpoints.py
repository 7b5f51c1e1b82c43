"""Weights files: locate, verify, read and write. No code in a file is ever run.

A granu weights file is a safetensors file whose metadata holds one key, `granu`: JSON with `format`,
`architecture`, `config` (the network's arguments), `classes`, and whatever else the recipe wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu.errors import WeightsError, suggest
from granu.files import write_whole
from granu.plugins.offers import Weights
from granu.weights.headers import is_safetensors, read_header
from granu.weights.opening import check_regular
from granu.weights.stored import read_all
from granu.wording import shown

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
LONGEST_CLASS = 200  # characters of a class name
Shape = tuple[int, ...]


@dataclass(frozen=True)
class WeightsHeader:
    """The header of a granu weights file; `about` holds whatever else the recipe wrote."""

    architecture: str
    config: Mapping[str, Any]
    classes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


def locate(name: str, shipped: Mapping[str, Weights]) -> Path:
    """Find the file of shipped weights by name, otherwise by path. WeightsError if there is none."""
    if name in shipped:
        file = shipped[name].file
        if not file.is_file():
            raise WeightsError(f"the shipped weights '{name}' are missing from {file}; install granu again")
        return file
    file = Path(name).expanduser()
    try:
        absent, folder = not file.exists(), file.is_dir()
    except (OSError, ValueError):  # too long a name, or one with a null character
        absent, folder = True, False
    if absent:
        known = f"neither a file nor shipped; {suggest(name[:LONGEST_CLASS], shipped)}"
        raise WeightsError(f"there are no weights '{shown(name, LONGEST_CLASS)}': {known}")
    if not folder:
        check_regular(file)
    return file


def verify(name: str, file: Path, shipped: Mapping[str, Weights]) -> str:
    """Compute the file's sha256. WeightsError if shipped weights have another one than their plugin states."""
    digest = sha256(file)
    if name in shipped and shipped[name].sha256 != digest:
        raise WeightsError(f"the shipped weights '{name}' are damaged ({file}); install granu again")
    return digest


def sha256(file: Path) -> str:
    """Compute the sha256 of a file, or of all files of a folder in the order of their paths."""
    digest = hashlib.sha256()
    for part in sorted(p for p in file.rglob("*") if p.is_file()) if file.is_dir() else [file]:
        with part.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def is_granu_weights(file: Path) -> bool:
    """Recognise safetensors with a granu header. WeightsError if the file is truncated or damaged."""
    return is_safetensors(file) and "granu" in read_metadata(file)


def read_metadata(file: Path) -> dict[str, str]:
    """Read a safetensors file's metadata, without torch. WeightsError for any other or damaged file."""
    return read_header(file).metadata


def read_weights_header(file: Path, architectures: tuple[str, ...] | None) -> WeightsHeader:
    """Read the header of a granu weights file. WeightsError unless it holds one of `architectures`; None for any."""
    text = read_metadata(file).get("granu")
    if text is None:
        raise WeightsError(f"{file} has no granu header, so its architecture is unknown; `granu convert` writes one")
    try:
        about = json.loads(text)
        architecture, config, classes = about.pop("architecture"), about.pop("config"), about.pop("classes", [])
        version = about.pop("format")
        fits = isinstance(architecture, str) and isinstance(config, dict) and isinstance(classes, list)
        if not fits or not all(isinstance(name, str) for name in classes):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WeightsError(f"the granu header of {file} does not parse; write the file again") from None
    names = tuple(shown(name, LONGEST_CLASS) for name in classes)
    header = WeightsHeader(architecture, config, names, about)
    if version != FORMAT:
        raise WeightsError(
            f"{file} has format {shown(version)}, this granu reads {FORMAT}; install the granu that wrote it"
        )
    if architectures is not None and header.architecture not in architectures:
        wanted = " or ".join(architectures)
        raise WeightsError(f"{file} holds the architecture '{shown(architecture)}', not {wanted}")
    return header


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, floats as float32. WeightsError if it is damaged or holds NaN."""
    return read_all(read_header(file).tensors, file)


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], file: Path) -> None:
    """Load a state dict that must fit exactly. WeightsError lists missing, unexpected and mis-shaped tensors.

    A network on the device `meta` receives the tensors themselves: a file whose claims its tensors do not bear out is
    refused before any memory is used for it.
    """
    check_fit(network.state_dict(), state, file)
    network.load_state_dict(dict(state), assign=any(p.is_meta for p in network.parameters()))


def check_fit(own: Mapping[str, Tensor], state: Mapping[str, Tensor], file: Path) -> None:
    """Compare the tensors of a network and those of a file. WeightsError lists what differs in name or shape."""
    check_shapes(_shapes(own), _shapes(state), file)


def check_shapes(own: Mapping[str, Shape], given: Mapping[str, Shape], file: Path) -> None:
    """Compare shapes of tensors by name, of a network and of a file. WeightsError lists the differences."""
    missing = sorted(own.keys() - given.keys())
    unexpected = sorted(given.keys() - own.keys())
    misshaped = [
        f"{shown(name)} {shown(given[name])} instead of {shown(own[name])}"
        for name in sorted(own.keys() & given.keys())
        if own[name] != given[name]
    ]
    problems = [
        ("missing", [shown(name) for name in missing]),
        ("unexpected", [shown(name) for name in unexpected]),
        ("of another shape", misshaped),
    ]
    if any(names for _, names in problems):
        message = "; ".join(f"{what}: {_few(names)}" for what, names in problems if names)
        raise WeightsError(f"the tensors in {file} do not fit its architecture ({message})")


def save_weights(file: Path, state: Mapping[str, Tensor], header: WeightsHeader) -> None:
    """Write a granu weights file, as a whole or not at all."""
    import safetensors.torch
    import torch

    about = {
        "format": FORMAT,
        "architecture": header.architecture,
        "config": dict(header.config),
        "classes": list(header.classes),
        **header.about,
    }
    # cloned, because tensors that share memory are refused
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
    write_whole(file, safetensors.torch.save(tensors, metadata={"granu": json.dumps(about)}))


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
