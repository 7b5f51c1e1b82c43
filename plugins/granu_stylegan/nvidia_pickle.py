"""NVIDIA's .pkl files, StyleGAN2-ADA and StyleGAN3: the averaged generator's arguments and tensors, nothing else.

The layout is that of NVlabs/stylegan2-ada-pytorch and NVlabs/stylegan3: a dictionary of networks, each with the
source code of its classes. That code is never run; a network is recognised by the names of its tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import WeightsError, is_torch_file
from granu_stylegan.inert_pickle import ModuleRecord, Refused, TensorRecord, load_inert

if TYPE_CHECKING:
    from torch import Tensor

DEEPEST = 8  # modules inside modules; the real ones go four deep, a forged one may contain itself
POSITIONAL = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")


@dataclass(frozen=True)
class NvidiaGenerator:
    """A generator as it lies in a .pkl; `arguments` are those that its class was called with."""

    arguments: Mapping[str, Any]
    records: Mapping[str, TensorRecord]

    def state(self) -> dict[str, Tensor]:
        """The tensors by name, floats as float32."""
        return {name: to_tensor(record) for name, record in self.records.items()}


def is_of_this_form(file: Path) -> bool:
    """Whether the file is a plain pickle, of protocol 2 or later, and not one of torch.save before it used zips."""
    with file.open("rb") as stream:
        return stream.read(1) == b"\x80" and not is_torch_file(file)


def read_generator(file: Path) -> NvidiaGenerator:
    """The exponential average G_ema. WeightsError if the file is damaged, forged, or of another kind."""
    try:
        with file.open("rb") as stream:
            networks = load_inert(stream)
        return _generator(networks)
    except Refused as wanted:
        raise WeightsError(f"{file} {wanted}") from None
    except Exception as problem:  # damaged bytes can make a pickle stumble over anything
        raise WeightsError(f"{file} is truncated or damaged: {problem or type(problem).__name__}") from None


def to_tensor(record: TensorRecord) -> Tensor:
    """The numbers of a record, floats as float32."""
    import torch

    storage = record.storage
    # a storage of no bytes has no buffer to read from
    flat = torch.frombuffer(bytearray(storage.data), dtype=getattr(torch, storage.dtype)) if storage.data else None
    try:
        tensor = (torch.empty(0) if flat is None else flat).as_strided(record.shape, record.strides, record.offset)
    except (RuntimeError, TypeError, ValueError, OverflowError):
        raise WeightsError(
            f"a tensor of shape {record.shape} reaches beyond its numbers: the file is damaged"
        ) from None
    return tensor.float() if tensor.is_floating_point() else tensor


def _generator(networks: Any) -> NvidiaGenerator:
    network = networks.get("G_ema") if isinstance(networks, dict) else None
    if not isinstance(network, ModuleRecord):
        raise Refused("holds no G_ema, so it is no StyleGAN2-ADA or StyleGAN3 of NVIDIA's")
    state = network.state
    given = dict(zip(POSITIONAL, state.get("_init_args", ()), strict=False)) | dict(state.get("_init_kwargs", {}))
    return NvidiaGenerator(given, dict(_tensors(network, "", 0)))


def _tensors(module: ModuleRecord, prefix: str, depth: int) -> Iterator[tuple[str, TensorRecord]]:
    """Parameters and the buffers that count, under the names of a state dict."""
    if depth > DEEPEST:
        raise Refused("holds modules inside modules without end")
    state = module.state
    passing = state.get("_non_persistent_buffers_set", ())
    own = {**state.get("_parameters", {}), **state.get("_buffers", {})}
    for name, value in own.items():
        if isinstance(value, TensorRecord) and name not in passing:
            yield f"{prefix}{name}", value
    for name, child in state.get("_modules", {}).items():
        if isinstance(child, ModuleRecord):
            yield from _tensors(child, f"{prefix}{name}.", depth + 1)
