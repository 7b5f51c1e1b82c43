"""A listener, and comparison of trained weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from granu.weights.checkpoints import read_tensors


class Notes:
    """A listener that keeps what it receives."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done: list[int] = []

    def progress(self, done: int, total: int, what: str) -> None:
        self.done.append(done)

    def line(self, text: str) -> None:
        self.lines.append(text)


def weights(file: Path | str) -> dict[str, Tensor]:
    """The tensors of a trained file."""
    return read_tensors(Path(file))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """True if two states are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
