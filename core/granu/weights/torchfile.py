"""Reading files written by torch.save, and tensors in other pickles, without torch and without running their code."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from granu.errors import WeightsError
from granu.weights.opening import open_file
from granu.weights.pickles import (
    PLAIN_NAMES,
    Budget,
    Names,
    Opaque,
    StandIn,
    Window,
    load,
    opaque,
    sequence,
)
from granu.weights.stored import WIDTHS, EncodedSpan, Refused, Source, Span, Storage, StoredTensor
from granu.wording import reason

ZIP = b"PK"
# the magic number of files before torch 1.6, as pickles of protocol 2 to 5 hold it, the later ones in a frame
LEGACY = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", re.DOTALL)
LEGACY_LENGTH = 23
LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # of a file in a zip
DTYPES = {  # storage class of torch -> dtype
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
UNUSABLE = {  # functions that rebuild tensors without plain numbers, and what these are
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_sparse_csr_tensor": "a sparse tensor",
    "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor_no_storage": "a meta tensor",
    "_rebuild_device_tensor_from_numpy": "a tensor of another device",
    "_rebuild_tensor_v3": "a tensor of an unusual type",
    "_rebuild_wrapper_subclass": "a wrapped tensor",
}
NUMPY_SCALARS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "b1": "<?"}


def is_torch_file(file: Path) -> bool:
    """Recognise files of torch.save by their first bytes."""
    with open_file(file) as stream:
        start = stream.read(LEGACY_LENGTH)
    return start.startswith(ZIP) or LEGACY.match(start) is not None


def read_torch_file(file: Path) -> Any:
    """Read a file of tensors and plain data, with a StoredTensor for each tensor; its numbers are not read yet.

    WeightsError if it is damaged or holds anything else.
    """
    if not is_torch_file(file):
        raise WeightsError(f"{file} is neither a file of torch.save nor of another known format")
    with open_file(file) as stream:
        start = stream.read(len(ZIP))
        return _guarded(file, lambda: (_read_zip if start == ZIP else _read_legacy)(stream, file))


def read_pickle(file: Path, names: Names) -> Any:
    """Read a plain pickle with tensors in it. `names` are further names that may occur: a `StandIn` for a function.

    WeightsError if the file is damaged or holds anything else.
    """
    with open_file(file) as stream:
        budget = Budget()
        known = {**torch_names(stream, budget), **names}
        window = Window(stream, file, 0, file.stat().st_size)
        return _guarded(file, lambda: load(window, known, budget))


def as_state_dict(content: Any, file: Path) -> dict[str, StoredTensor]:
    """Tensors by name. WeightsError if the content of `file` is not a state dict.

    The prefix `module.`, of networks that were trained in parallel, is removed.
    """
    if not isinstance(content, dict) or not all(isinstance(t, StoredTensor) for t in content.values()):
        raise WeightsError(f"{file} holds no state dict (names and tensors); save the state dict alone")
    names = [str(name) for name in content]
    prefix = "module." if names and all(name.startswith("module.") for name in names) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in zip(names, content.values(), strict=True)}


def torch_names(stream: BinaryIO, budget: Budget) -> Names:
    """The names in pickles of torch and numpy, with their replacements; `stream` reads the pickle's file."""

    def from_bytes(blob: Any) -> Storage:
        return _storage_of_blob(blob, stream, budget)

    return {**TORCH_NAMES, ("torch.storage", "_load_from_bytes"): StandIn(from_bytes)}


def _guarded(file: Path, read: Any) -> Any:
    try:
        return read()
    except Refused as refusal:
        raise WeightsError(f"{file} {refusal}") from None
    except Exception as problem:  # damaged bytes can raise anything
        raise WeightsError(f"{file} is truncated or damaged: {reason(problem)}") from None


def _read_zip(stream: BinaryIO, file: Path) -> Any:
    """The format since torch 1.6: a zip with a pickle and a file for each storage."""
    size = file.stat().st_size
    with zipfile.ZipFile(stream) as archive:
        members = {member.filename: member for member in archive.infolist()}
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise Refused("is a zip that torch.save did not write")
    root, budget = roots[0], Budget()
    if f"{root}constants.pkl" in members:
        raise Refused("is a TorchScript program, which granu does not run; save the state dict instead")
    if (order := members.get(f"{root}byteorder")) is not None:
        span = _span(order, stream, file, size)
        if span.read(0, 8) != b"little":
            raise Refused("holds big-endian numbers; save it again on an ordinary machine")

    def storage(identifier: Any) -> Storage:
        dtype, key, count = _describe_storage(identifier)
        member = members.get(f"{root}data/{key}")
        if member is None:
            raise Refused("is truncated or damaged: a storage is missing")
        span = _span(member, stream, file, size)
        if span.length < count * WIDTHS[dtype]:
            raise Refused("is damaged: a storage is larger than its file")
        return Storage(dtype, count, span)

    pickled = _span(members[f"{root}data.pkl"], stream, file, size)
    budget.spend(text=pickled.length)
    window = Window(io.BytesIO(pickled.read(0, pickled.length)), None, 0, pickled.length)
    return load(window, torch_names(stream, budget), budget, storage)


def _span(member: zipfile.ZipInfo, stream: BinaryIO, file: Path, size: int) -> Span:
    """The place of a file in a zip. Refused if it is compressed: its size is then no bound on anything."""
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size or member.flag_bits & 1:
        raise Refused("is a compressed zip, which torch.save does not write")
    stream.seek(member.header_offset)
    head = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
    start = member.header_offset + LOCAL_HEADER.size + head[-2] + head[-1]
    if head[0] != b"PK\x03\x04" or start + member.file_size > size:
        raise Refused("is truncated or damaged: a part lies outside the file")
    return Span(file, start, member.file_size, member.CRC)


def _read_legacy(stream: BinaryIO, file: Path) -> Any:
    """The format before torch 1.6: pickles, then the numbers of each storage."""
    budget = Budget()
    window = Window(stream, file, 0, file.stat().st_size)
    return _read_pickles(window, Span(file, 0, window.end), torch_names(stream, budget), budget)


def _read_pickles(window: Window, source: Source, names: Names, budget: Budget) -> Any:
    """Read a magic number, a version, the machine's sizes, the object, the keys of its storages, and their places."""
    storages: dict[Any, Storage] = {}

    def storage(identifier: Any) -> Storage:
        dtype, key, count = _describe_storage(identifier)
        if any(identifier[5:]):
            raise Refused("holds a view of a storage, as torch wrote before 0.4")
        return storages.setdefault(key, Storage(dtype, count))

    for _ in range(3):
        load(window, names, budget)
    content = load(window, names, budget, storage)
    keys = load(window, names, budget)
    if not isinstance(keys, list) or set(map(str, keys)) != storages.keys():
        raise Refused("is damaged: its storages are not those of its tensors")
    for key in keys:
        place = storages[str(key)]
        (count,) = struct.unpack("<q", window.read(8))
        if count != place.count or count * WIDTHS[place.dtype] > window.end - window.position:
            raise Refused("is truncated or damaged: a storage has another size than it claims")
        place.source, place.start = source, window.position
        window.position += count * WIDTHS[place.dtype]
    return content


def _storage_of_blob(blob: Any, stream: BinaryIO, budget: Budget) -> Storage:
    """A storage that is itself a file of torch.save before 1.6 inside a pickle."""
    if isinstance(blob, EncodedSpan):
        data: Any = blob.read(0, blob.length)
        budget.spend(text=len(data))
        window = Window(io.BytesIO(data), None, 0, len(data))
        source: Source = blob
    elif isinstance(blob, Span):
        window = Window(stream, blob.file, blob.start, blob.start + blob.length)
        source = Span(blob.file, 0, window.end)
    elif isinstance(blob, bytes):
        window, source = Window(io.BytesIO(blob), None, 0, len(blob)), _Bytes(blob)
    else:
        raise Refused("holds a storage that is not bytes")
    content = _read_pickles(window, source, torch_names(stream, budget), budget)
    if not isinstance(content, Storage):
        raise Refused("holds a blob that is not a storage")
    return content


class _Bytes:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.data, self.length = data, len(data)

    def read(self, start: int, count: int) -> bytes:
        return self.data[start : start + count]


def _describe_storage(identifier: Any) -> tuple[str, str, int]:
    """The dtype, key and count of a persistent id: ("storage", class, key, device, count, ...)."""
    if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] != "storage":
        raise Refused("refers to data outside the file")
    _, dtype, key, _, count = identifier[:5]
    if dtype not in WIDTHS or not isinstance(key, str | int) or type(count) is not int or count < 0:
        raise Refused("holds a storage of an unknown type")
    return dtype, str(key), count


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_more: object) -> StoredTensor:
    """Keep the view; gradients, hooks and metadata are dropped."""
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise Refused("holds a tensor without numbers")
    return StoredTensor(storage, offset, shape, strides)


def _parameter(data: Any = None, *_more: object) -> Any:
    return data


def _from_type(function: Any, _type: object, arguments: Any, _state: object = None) -> Any:
    """A tensor that has attributes of its own; they are dropped."""
    if not isinstance(function, StandIn) or function.act is not _tensor or not isinstance(arguments, tuple):
        raise Refused("holds a tensor of an unknown type")
    return _tensor(*arguments)


class _NumpyType(Opaque):
    """A numpy dtype by its code, such as `f8`."""

    __slots__ = ("code",)

    def __init__(self, code: object = "", *_more: object) -> None:
        self.code = code


def _numpy_scalar(kind: Any = None, data: Any = b"", *_more: object) -> Any:
    code = NUMPY_SCALARS.get(kind.code) if isinstance(kind, _NumpyType) and isinstance(kind.code, str) else None
    whole = code and isinstance(data, bytes) and len(data) == struct.calcsize(code)
    return struct.unpack(code, data)[0] if code and whole else Opaque()


OPAQUE = StandIn(opaque)
TORCH_NAMES: Mapping[tuple[str, str], Any] = {
    **PLAIN_NAMES,
    ("argparse", "Namespace"): OPAQUE,  # the arguments of a training script
    ("torch._utils", "_rebuild_tensor"): StandIn(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): StandIn(_tensor),
    ("torch._utils", "_rebuild_parameter"): StandIn(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): StandIn(_parameter),
    ("torch._tensor", "_rebuild_from_type_v2"): StandIn(_from_type),
    ("torch._tensor", "Tensor"): OPAQUE,
    ("torch", "Tensor"): OPAQUE,
    ("torch.nn.parameter", "Parameter"): OPAQUE,
    ("torch", "Size"): StandIn(sequence),
    ("torch", "a tensor of another device"): OPAQUE,
    **{
        ("torch._utils", name): Refused(f"holds {kind}; save plain tensors of numbers")
        for name, kind in UNUSABLE.items()
    },
    **{(module, name): dtype for module in ("torch", "torch.storage") for name, dtype in DTYPES.items()},
    **{("torch", dtype): Opaque() for dtype in WIDTHS},
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "scalar", StandIn(_numpy_scalar)),
            ("multiarray", "_reconstruct", OPAQUE),
            ("numeric", "_frombuffer", OPAQUE),
        )
    },
    ("numpy", "dtype"): StandIn(_NumpyType),
    ("numpy", "ndarray"): OPAQUE,
}
