"""The tensors of a BigGAN by name, from its configuration alone, and whether a file holds as many; without torch.

A file's configuration is a claim. It is compared with the tensors in the file before anything is built.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from granu import WeightsError, check_shapes
from granu_biggan.config import BigGANConfig, LayerPlan

Shape = tuple[int, ...]
STATISTICS = (".mean", ".variance")


def check_tables(config: BigGANConfig, given: Mapping[str, Shape], file: Path) -> None:
    """Compare a file's tensors with a network's. WeightsError if they differ.

    Norm statistics are tables (rows, C) in files, a row for each truncation.
    """
    rows = {name: shape[1:] if name.endswith(STATISTICS) else shape for name, shape in given.items()}
    check_shapes(dict(list_tensors(config)), rows, file)
    for name, shape in given.items():
        if name.endswith(STATISTICS) and shape[0] < 1:
            raise WeightsError(f"{file} holds no row of norm statistics in {name}")


def check_size(config: BigGANConfig, available: int, file: Path) -> None:
    """WeightsError if a file holds fewer numbers than the network that it describes."""
    needed = sum(math.prod(shape) for _, shape in list_tensors(config))
    if needed > available:
        raise WeightsError(
            f"{file} describes a network of {needed:,} numbers but holds {available:,}; its configuration is another's"
        )


def list_tensors(config: BigGANConfig) -> Iterator[tuple[str, Shape]]:
    """Every tensor's name and shape, with one row of norm statistics, (C,)."""
    first, last = config.layers[0].channels_in, config.layers[-1].channels_out
    yield "embedding.weight", (config.classes, config.y_dim)
    yield "linear.weight", (first * config.bottom**2, config.linear_dim)
    yield "linear.bias", (first * config.bottom**2,)
    for i, plan in enumerate(config.layers):
        yield from ((f"layers.{i}.{name}", shape) for name, shape in _layer(plan, config.condition_dim))
    yield from ((f"norm.{name}", (last,)) for name in ("gain", "bias", "mean", "variance"))
    yield "to_rgb.weight", (config.channels, last, 3, 3)
    yield "to_rgb.bias", (config.channels,)


def _layer(plan: LayerPlan, condition: int) -> Iterator[tuple[str, Shape]]:
    n, m = plan.channels_in, plan.channels_out
    if plan.kind == "attention":
        yield "query.weight", (n // 8, n, 1, 1)
        yield "key.weight", (n // 8, n, 1, 1)
        yield "value.weight", (n // 2, n, 1, 1)
        yield "out.weight", (n, n // 2, 1, 1)
        yield "strength", ()
        return
    narrow = n // 4
    if plan.kind == "bottleneck":
        convs = [(narrow, n, 1), (narrow, narrow, 3), (narrow, narrow, 3), (m, narrow, 1)]
    else:
        convs = [(m, n, 3), (m, m, 3)]
    for i, (outputs, inputs, k) in enumerate(convs):
        for part in ("gain", "bias"):
            yield f"norms.{i}.{part}.weight", (inputs, condition)
        yield f"norms.{i}.mean", (inputs,)
        yield f"norms.{i}.variance", (inputs,)
        yield f"convs.{i}.weight", (outputs, inputs, k, k)
        yield f"convs.{i}.bias", (outputs,)
    if plan.kind == "residual" and (n != m or plan.grow):
        yield "shortcut.weight", (m, n, 1, 1)
        yield "shortcut.bias", (m,)
