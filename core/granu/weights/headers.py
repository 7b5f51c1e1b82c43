"""The header of a safetensors file, read and checked without torch.

The format is that of the safetensors project: the header's length in eight bytes, the header in JSON, the numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from granu.errors import WeightsError
from granu.weights.opening import check_regular, open_file
from granu.weights.stored import WIDTHS, Refused, Span, Storage, StoredTensor, contiguous
from granu.wording import shown

LONGEST_HEADER = 100_000_000  # bytes; the limit that safetensors itself sets
LONGEST_READ = 4_000_000  # bytes; headers of image generators and classifiers have a tenth of that
METADATA = "__metadata__"
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True)
class SafetensorsHeader:
    """Metadata, and the tensors by name, whose numbers are not read yet."""

    metadata: dict[str, str]
    tensors: dict[str, StoredTensor]


def is_safetensors(file: Path) -> bool:
    """Recognise safetensors by the first bytes; a pickle or a zip has others."""
    with open_file(file) as stream:
        start = stream.read(9)
    return len(start) == 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= LONGEST_HEADER


def read_header(file: Path) -> SafetensorsHeader:
    """Read and check a header. WeightsError if the file is of another format, truncated or damaged."""
    size = check_regular(file)
    if not is_safetensors(file):
        raise WeightsError(
            f"{file} is not a safetensors file ({_describe_content(file)}); convert it to safetensors first"
        )
    with open_file(file) as stream:
        length = int.from_bytes(stream.read(8), "little")
        if LONGEST_READ < length <= size - 8:
            raise WeightsError(f"{file} has a header of {length:,} bytes; write it without what is not needed")
        text = stream.read(min(length, size))
    try:
        header = json.loads(text) if len(text) == length else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise WeightsError(f"{file} is truncated or damaged: its header does not parse") from None
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise WeightsError(f"{file} is damaged: the metadata in its header are not texts")
    missing = _end(header) + 8 + length - size
    if missing > 0:
        raise WeightsError(f"{file} is truncated: {shown(missing)} bytes are missing")
    tensors = {name: _tensor(entry, file, 8 + length) for name, entry in header.items()}
    if None in tensors.values():
        name = next(name for name, tensor in tensors.items() if tensor is None)
        raise WeightsError(f"{file} is damaged: its header describes {shown(name)} as no tensor that granu reads")
    return SafetensorsHeader(metadata, {name: tensor for name, tensor in tensors.items() if tensor is not None})


def _end(entries: dict[str, Any]) -> int:
    """The last byte of any tensor."""
    offsets = [entry.get("data_offsets") for entry in entries.values() if isinstance(entry, dict)]
    return max((pair[1] for pair in offsets if _are_counts(pair) and len(pair) == 2), default=0)


def _tensor(entry: Any, file: Path, start: int) -> StoredTensor | None:
    """The tensor that an entry of the header describes; None if it describes none."""
    if not isinstance(entry, dict):
        return None
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    dtype = DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None or not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        return None
    begin, length = offsets[0], offsets[1] - offsets[0]
    storage = Storage(dtype, length // WIDTHS[dtype], Span(file, start + begin, length))
    try:
        tensor = StoredTensor(storage, 0, tuple(shape), contiguous(tuple(shape)))
    except Refused:
        return None
    return tensor if length == tensor.numbers * WIDTHS[dtype] else None


def _are_counts(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _describe_content(file: Path) -> str:
    with open_file(file) as stream:
        start = stream.read(4)
    if start[:2] == b"PK":
        return "it begins like a zip, as torch.save writes"
    if start[:1] == b"\x80":
        return "it begins like a pickle"
    return "its format is unknown" if start else "it is empty"
