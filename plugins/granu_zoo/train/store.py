"""Writing weights that ship: half precision, with everything that is needed to open them in the file's header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from granu.checkpoints import Header, save, sha256

__all__ = ["store"]


def store(
    network: nn.Module,
    path: Path,
    architecture: str,
    config: Mapping[str, Any],
    recipe: str,
    seed: int,
    log: Mapping[str, float],
) -> str:
    """Write the weights of `network` to `path` and return the file's sha256."""
    about = {
        "data": "MNIST (LeCun, Cortes, Burges)",
        "licence": "CC BY-SA 3.0",
        "recipe": recipe,
        "seed": seed,
        "log": dict(log),
    }
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    save(path, state, Header(architecture, config, tuple(str(digit) for digit in range(10)), about))
    return sha256(path)
