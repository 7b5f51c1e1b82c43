"""Reading a pickle of networks without running its code: objects become plain records.

A pickle is a program that looks up functions by name and calls them. Here only the names in `STAND_INS` resolve, each
to a replacement that does no more than store its arguments; every other name is refused. The replacements are
immutable, so that a pickle cannot change how the next one is read.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from granu import WeightsError

DTYPES = {  # storage class of torch -> dtype and bytes per number
    "FloatStorage": ("float32", 4),
    "DoubleStorage": ("float64", 8),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}
NUMPY_SCALARS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "b1": "<?"}


class Refused(WeightsError):
    """The pickle contains something that a weights file need not contain."""


class Record:
    """An object read from a pickle, immutable: only the constructor sets its fields."""

    def __setstate__(self, state: object) -> None:
        raise Refused("changes an object that was already read")


@dataclass(frozen=True)
class StorageRecord(Record):
    """Numbers as bytes, little-endian."""

    dtype: str
    data: bytes


@dataclass(frozen=True)
class TensorRecord(Record):
    """A view of a storage; offset and strides are counted in numbers."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class ModuleRecord(Record):
    """An object pickled with the source of its class; the source is dropped, name and state are kept."""

    class_name: str
    state: Mapping[str, Any]


class Opaque:
    """An object that is not needed; ignores its state."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        del state


@dataclass(frozen=True)
class NumpyType(Record):
    """A numpy dtype by its code, such as `f8`."""

    code: str

    def __setstate__(self, state: object) -> None:
        del state  # byte order and similar details


class StandIn:
    """Replacement for a function that a pickle names."""

    __slots__ = ("_act",)
    _act: Callable[..., Any]

    def __init__(self, act: Callable[..., Any]) -> None:
        object.__setattr__(self, "_act", act)

    def __call__(self, *arguments: Any) -> Any:
        return self._act(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        raise Refused("changes the replacement of a function")


def load_inert(stream: BinaryIO) -> Any:
    """Read a pickle's object as records. Refused if it needs more than that; any other error means damage."""
    return _Unpickler(stream).load()


class _Unpickler(pickle.Unpickler):
    """Resolves only the names in STAND_INS."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("dnnlib.tflib"):
            raise Refused("is a TensorFlow pickle; convert it with NVIDIA's legacy.py")
        if (module, name) in STAND_INS:
            return STAND_INS[module, name]
        if module in ("torch", "torch.storage") and name in DTYPES:
            return DTYPES[name]
        named = ascii(f"{module}.{name}")[1:-1]  # an untrusted string that is printed to a terminal
        raise Refused(f"asks to run {named}; granu does not run code from weights files")

    def persistent_load(self, pid: Any) -> Any:
        raise Refused("refers to data outside the file")


class _StorageUnpickler(_Unpickler):
    """For the blob of one storage, in which a persistent id describes the bytes after the pickle."""

    def persistent_load(self, pid: Any) -> Any:
        whole = isinstance(pid, tuple) and len(pid) >= 5 and not any(pid[5:])  # no view of another storage
        if not whole or pid[0] != "storage" or pid[1] not in DTYPES.values():
            raise Refused("holds a storage of an unknown type")
        return pid


def _load_storage(blob: bytes) -> StorageRecord:
    """Read a storage in torch's format before 1.6: five pickles, then a count and the numbers."""
    if not isinstance(blob, bytes):
        raise Refused("holds a storage that is not bytes")
    stream = io.BytesIO(blob)
    load_inert(stream)  # a magic number
    load_inert(stream)  # the version of the protocol
    load_inert(stream)  # the machine's byte order and sizes
    storage = _StorageUnpickler(stream).load()
    if not isinstance(storage, tuple):
        raise Refused("holds a blob that is not a storage")
    load_inert(stream)  # the keys of the storages, of which there is one
    dtype, width = storage[1]
    (count,) = struct.unpack("<q", stream.read(8))
    data = stream.read(count * width)
    if count < 0 or len(data) != count * width:
        raise Refused("holds a truncated storage")
    return StorageRecord(dtype, data)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_more: object) -> TensorRecord:
    """Keep the view; gradients, hooks and metadata are dropped."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, StorageRecord) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise Refused("holds a tensor without numbers")
    return TensorRecord(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Any, *_more: object) -> Any:
    return data


def _module(meta: Any) -> ModuleRecord:
    state = meta.get("state") if isinstance(meta, dict) else None
    if not isinstance(state, dict) or not isinstance(meta.get("class_name"), str):
        raise Refused("holds an object without state")
    return ModuleRecord(meta["class_name"], state)


def _opaque(*_arguments: object) -> Opaque:
    return Opaque()


def _numpy_type(code: Any, *_more: object) -> NumpyType:
    return NumpyType(str(code))


def _numpy_scalar(kind: Any, data: Any = b"", *_more: object) -> Any:
    code = NUMPY_SCALARS.get(kind.code) if isinstance(kind, NumpyType) else None
    return struct.unpack(code, data)[0] if code and isinstance(data, bytes) else Opaque()


# (module, name) -> replacement; containers of Python stand for themselves
STAND_INS: Mapping[tuple[str, str], Any] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): StandIn(_module),
    ("torch._utils", "_rebuild_tensor"): StandIn(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): StandIn(_tensor),
    ("torch._utils", "_rebuild_parameter"): StandIn(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): StandIn(_parameter),
    ("torch.storage", "_load_from_bytes"): StandIn(_load_storage),
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "dict"): dict,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("dnnlib.util", "EasyDict"): dict,
    ("dnnlib", "EasyDict"): dict,
    **{
        (f"numpy.{core}.multiarray", name): StandIn(act)
        for core in ("core", "_core")
        for name, act in (("scalar", _numpy_scalar), ("_reconstruct", _opaque))
    },
    ("numpy", "dtype"): StandIn(_numpy_type),
    ("numpy", "ndarray"): Opaque(),
}
