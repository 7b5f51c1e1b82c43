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

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
LONGEST_HEADER = 100_000_000  # bytes; the limit that safetensors itself sets


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
    if not file.exists():
        raise WeightsError(f"there are no weights '{name}': neither a file nor shipped; {suggest(name, shipped)}")
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


def is_safetensors(file: Path) -> bool:
    """Recognise safetensors by the first bytes; a pickle or a zip has others."""
    with file.open("rb") as stream:
        start = stream.read(9)
    return len(start) == 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= LONGEST_HEADER


def is_granu_weights(file: Path) -> bool:
    """Recognise safetensors with a granu header. WeightsError if the file is truncated or damaged."""
    return is_safetensors(file) and "granu" in read_metadata(file)


def read_metadata(file: Path) -> dict[str, str]:
    """Read a safetensors file's metadata, without torch. WeightsError for any other or damaged file."""
    if file.is_dir():
        raise WeightsError(f"{file} is a folder; name the weights file inside it")
    try:
        if not is_safetensors(file):
            raise WeightsError(
                f"{file} is not a safetensors file ({_describe_content(file)}); convert it to safetensors first"
            )
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
    except OSError as problem:
        raise WeightsError(f"cannot read {file}: {problem.strerror}") from None
    except ValueError:
        raise WeightsError(f"{file} is truncated or damaged: its header does not parse") from None
    end = max((e["data_offsets"][1] for k, e in header.items() if k != "__metadata__"), default=0)
    if file.stat().st_size < 8 + length + end:
        raise WeightsError(f"{file} is truncated: {8 + length + end - file.stat().st_size} bytes are missing")
    return dict(header.get("__metadata__", {}))


def read_weights_header(file: Path, architectures: tuple[str, ...] | None) -> WeightsHeader:
    """Read the header of a granu weights file. WeightsError unless it holds one of `architectures`; None for any."""
    text = read_metadata(file).get("granu")
    if text is None:
        raise WeightsError(f"{file} has no granu header, so its architecture is unknown; `granu convert` writes one")
    try:
        about = json.loads(text)
        header = WeightsHeader(about.pop("architecture"), about.pop("config"), tuple(about.pop("classes", ())), about)
        version = about.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WeightsError(f"the granu header of {file} does not parse; write the file again") from None
    if version != FORMAT:
        raise WeightsError(f"{file} has format {version}, this granu reads {FORMAT}; install the granu that wrote it")
    if architectures is not None and header.architecture not in architectures:
        wanted = " or ".join(architectures)
        raise WeightsError(f"{file} holds the architecture '{header.architecture}', not {wanted}")
    return header


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, floats as float32. WeightsError if it is damaged."""
    import safetensors.torch
    import torch

    try:
        tensors = safetensors.torch.load_file(file)
    except (safetensors.SafetensorError, OSError) as problem:
        raise WeightsError(f"{file} is truncated or damaged: {problem}") from None
    return {name: t.to(torch.float32) if t.is_floating_point() else t for name, t in tensors.items()}


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], file: Path) -> None:
    """Load a state dict that must fit exactly. WeightsError lists missing, unexpected and mis-shaped tensors."""
    check_fit(network.state_dict(), state, file)
    network.load_state_dict(dict(state))


def check_fit(own: Mapping[str, Tensor], state: Mapping[str, Tensor], file: Path) -> None:
    """Compare the tensors of a network and those of a file. WeightsError lists what differs in name or shape."""
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    misshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own.keys() & state.keys())
        if own[name].shape != state[name].shape
    ]
    problems = [("missing", missing), ("unexpected", unexpected), ("of another shape", misshaped)]
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


def _describe_content(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(4)
    if start[:2] == b"PK":
        return "it begins like a zip, as torch.save writes"
    if start[:1] == b"\x80":
        return "it begins like a pickle"
    return "its format is unknown" if start else "it is empty"


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
