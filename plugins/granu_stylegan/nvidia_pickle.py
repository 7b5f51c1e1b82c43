"""The averaged generator of NVIDIA's .pkl files, StyleGAN2-ADA and StyleGAN3.

The layout is that of NVlabs/stylegan2-ada-pytorch and NVlabs/stylegan3: a dictionary of networks, each with the
source code of its classes. That code is not run; the architecture is recognised by the names of the tensors.
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

DEEPEST = 8  # nesting of modules; real files have four levels, a forged one may contain itself
POSITIONAL = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")


@dataclass(frozen=True)
class NvidiaGenerator:
    """A generator as stored in a .pkl; `arguments` are those of its constructor."""

    arguments: Mapping[str, Any]
    records: Mapping[str, TensorRecord]

    def state(self) -> dict[str, Tensor]:
        """The tensors by name, floats as float32."""
        return {name: to_tensor(record) for name, record in self.records.items()}


def recognises(file: Path) -> bool:
    """Recognise a plain pickle of protocol 2 or later that was not written by torch.save before 1.6."""
    with file.open("rb") as stream:
        return stream.read(1) == b"\x80" and not is_torch_file(file)


def read_generator(file: Path) -> NvidiaGenerator:
    """Read the exponential average G_ema. WeightsError if the file is damaged, forged, or of another kind."""
    try:
        with file.open("rb") as stream:
            networks = load_inert(stream)
        return _generator(networks)
    except Refused as refusal:
        raise WeightsError(f"{file} {refusal}") from None
    except Exception as problem:  # damaged bytes can raise anything
        raise WeightsError(f"{file} is truncated or damaged: {problem or type(problem).__name__}") from None


def to_tensor(record: TensorRecord) -> Tensor:
    """Convert a record, floats to float32."""
    import torch

    storage = record.storage
    # frombuffer refuses an empty buffer
    flat = torch.frombuffer(bytearray(storage.data), dtype=getattr(torch, storage.dtype)) if storage.data else None
    try:
        tensor = (torch.empty(0) if flat is None else flat).as_strided(record.shape, record.strides, record.offset)
    except (RuntimeError, TypeError, ValueError, OverflowError):
        raise WeightsError(f"a tensor of shape {record.shape} exceeds its storage: the file is damaged") from None
    return tensor.float() if tensor.is_floating_point() else tensor


def _generator(networks: Any) -> NvidiaGenerator:
    network = networks.get("G_ema") if isinstance(networks, dict) else None
    if not isinstance(network, ModuleRecord):
        raise Refused("holds no G_ema, so it is not a StyleGAN2-ADA or StyleGAN3 of NVIDIA's")
    state = network.state
    given = dict(zip(POSITIONAL, state.get("_init_args", ()), strict=False)) | dict(state.get("_init_kwargs", {}))
    return NvidiaGenerator(given, dict(_tensors(network, "", 0)))


def _tensors(module: ModuleRecord, prefix: str, depth: int) -> Iterator[tuple[str, TensorRecord]]:
    """Parameters and persistent buffers under the names of a state dict."""
    if depth > DEEPEST:
        raise Refused("holds modules nested too deeply")
    state = module.state
    temporary = state.get("_non_persistent_buffers_set", ())
    own = {**state.get("_parameters", {}), **state.get("_buffers", {})}
    for name, value in own.items():
        if isinstance(value, TensorRecord) and name not in temporary:
            yield f"{prefix}{name}", value
    for name, child in state.get("_modules", {}).items():
        if isinstance(child, ModuleRecord):
            yield from _tensors(child, f"{prefix}{name}.", depth + 1)
