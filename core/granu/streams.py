"""One random stream per image, independent of batch, order and machine.

A stream is a function of (seed, image id, scope) alone. It is drawn on the CPU, because devices draw different numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor


class Streams:
    """The random streams of a batch of images. Each call continues them; `scope` opens independent ones."""

    def __init__(self, seed: int, ids: Sequence[str], scope: str = "", device: str = "cpu") -> None:
        self.seed, self.ids, self.path, self.device = seed, tuple(ids), scope, device

    @cached_property
    def _generators(self) -> list[torch.Generator]:
        # made when they are first drawn from: streams of a whole step often only open scopes
        return [torch.Generator().manual_seed(_number(self.seed, id_, self.path)) for id_ in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def scope(self, name: str) -> Streams:
        """New streams for another purpose, independent of what was drawn from these."""
        return Streams(self.seed, self.ids, f"{self.path}/{name}", self.device)

    def select(self, index: Tensor | Sequence[int]) -> Streams:
        """The streams of some of the images; they continue from their present state."""
        chosen = Streams(self.seed, (), self.path, self.device)
        positions = [int(i) for i in index]
        chosen.ids = tuple(self.ids[i] for i in positions)
        chosen._generators = [self._generators[i] for i in positions]
        return chosen

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (B, *shape)."""
        return self._stack([torch.randn(shape, generator=g) for g in self._generators], shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), (B, *shape)."""
        return self._stack([torch.rand(shape, generator=g) for g in self._generators], shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Whole numbers in [0, high), (B, *shape) int64."""
        return self._stack([torch.randint(high, shape, generator=g) for g in self._generators], shape)

    def _stack(self, rows: list[Tensor], shape: tuple[int, ...]) -> Tensor:
        return torch.stack(rows).to(self.device) if rows else torch.empty(0, *shape, device=self.device)


def _number(seed: int, image: str, scope: str) -> int:
    text = "\x1f".join((str(seed), image, scope)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
