"""Calls of pipelines of diffusers: in batches, with one generator per image, and memory that runs out put in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from granu import PluginError

T = TypeVar("T")


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """A generator for each image, on the CPU: one for the whole batch would tie an image to its neighbours."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def in_batches(count: int, batch: int, call: Callable[[slice], Tensor]) -> Tensor:
    """The results of `call` for `count` images, `batch` of them at a time."""
    with memory_in_words(min(batch, count)):
        return torch.cat([call(slice(i, i + batch)).float() for i in range(0, count, batch)])


@contextmanager
def memory_in_words(batch: int) -> Iterator[None]:
    """Turn an error of memory into a sentence that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as problem:
        text = str(problem)
        if not isinstance(problem, MemoryError) and not ("out of memory" in text or "can't allocate memory" in text):
            raise
        smaller = f"batch={batch // 2}" if batch > 1 else "a smaller size="
        raise PluginError(
            f"`diffusion-edit`: memory ran out with {batch} image{'s' if batch > 1 else ''} at a time; take {smaller}, "
            "dtype=bfloat16 or offload=yes"
        ) from problem


def images_of(output: Any) -> Tensor:
    """The images (B, 3, H, W) that a pipeline returned with output_type="pt"."""
    images = output.images
    return images if isinstance(images, Tensor) else torch.stack(list(images))
