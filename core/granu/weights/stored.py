"""Tensors that lie in a file: described without torch, their numbers read when they are asked for.

What a file says of its tensors is believed only as far as its size bears it out: a tensor is a view of a storage, and a
storage is a part of the file.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from granu.errors import WeightsError
from granu.wording import shown

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = {  # dtype -> bytes per number
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}


class Refused(WeightsError):
    """The file contains something that a weights file need not contain."""


class Source(Protocol):
    """Bytes in a file."""

    @property
    def length(self) -> int: ...

    def read(self, start: int, count: int) -> bytes:
        """`count` bytes from `start` on, fewer at the end."""


@dataclass(frozen=True)
class Span:
    """A part of a file; `crc` is its CRC-32 if the file states one."""

    file: Path
    start: int
    length: int
    crc: int | None = None

    def read(self, start: int, count: int) -> bytes:
        with self.file.open("rb") as stream:
            stream.seek(self.start + start)
            data = stream.read(max(0, min(count, self.length - start)))
        if self.crc is not None and len(data) == self.length and zlib.crc32(data) != self.crc:
            raise WeightsError(f"{self.file} is damaged: the checksum of a tensor is wrong")
        return data


@dataclass(frozen=True)
class EncodedSpan:
    """Bytes that a pickle of protocol 2 holds as text, each byte a character, in UTF-8."""

    span: Span

    @property
    def length(self) -> int:
        return self.span.length  # of the text; there are at most as many bytes

    def read(self, start: int, count: int) -> bytes:
        text = self.span.read(0, self.span.length).decode("utf-8", "surrogatepass")
        return text.encode("latin1")[start : start + count]


@dataclass
class Storage:
    """Numbers of one dtype, little-endian; `source` is set before the file is read to its end."""

    dtype: str
    count: int
    source: Source | None = None
    start: int = 0  # in the source, in bytes

    def read(self, first: int, count: int) -> bytes:
        """The bytes of `count` numbers from number `first` on."""
        assert self.source is not None
        width = WIDTHS[self.dtype]
        return self.source.read(self.start + first * width, count * width)


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage; offset and strides are counted in numbers. Refused if it exceeds its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.strides)
        whole = len(self.shape) == len(self.strides) <= 64 and all(type(n) is int and n >= 0 for n in numbers)
        if not whole:
            raise Refused("is damaged: it holds a tensor without a shape")
        if self.numbers > self.storage.count or self.offset + self._extent > self.storage.count:
            raise Refused(
                f"is damaged: a tensor of shape {shown(self.shape)} exceeds its storage of {self.storage.count} numbers"
            )

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    @property
    def numbers(self) -> int:
        """The count of its numbers."""
        return math.prod(self.shape)

    @property
    def _extent(self) -> int:
        """The count of numbers from its first to its last in the file, both included."""
        return sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)) + 1 if self.numbers else 0

    def read(self) -> Tensor:
        """Read the tensor, floats as float32."""
        import torch

        data = self.storage.read(self.offset, self._extent)
        if len(data) != self._extent * WIDTHS[self.dtype]:
            raise Refused("is truncated: numbers of a tensor are missing")
        dtype = getattr(torch, self.dtype)
        if not self.numbers:  # frombuffer refuses an empty buffer
            return torch.empty(self.shape, dtype=torch.float32 if dtype.is_floating_point else dtype)
        flat = torch.frombuffer(bytearray(data), dtype=dtype)
        tensor = flat.as_strided(self.shape, self.strides)
        return tensor.to(torch.float32 if dtype.is_floating_point else dtype).contiguous().clone()


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a tensor whose numbers lie in order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def read_all(stored: Mapping[str, StoredTensor], file: Path) -> dict[str, Tensor]:
    """Read tensors by name. WeightsError if a number is NaN or infinite, or if the file is damaged."""
    tensors = {}
    for name, tensor in stored.items():
        try:
            tensors[name] = tensor.read()
        except Refused as refusal:
            raise WeightsError(f"{file} {refusal}") from None
    check_finite(tensors, file)
    return tensors


def check_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    """WeightsError if a number is NaN or infinite: nothing that such a network computes means anything."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(f"{file} holds NaN or infinite numbers in {shown(name)}; use a checkpoint without them")
