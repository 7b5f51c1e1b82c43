"""Writing of the weights to ship, in half precision and with a complete header."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from granu import WeightsHeader, save_weights
from granu_zoo.trained_on import trained_on

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
    """Write the weights of `network` to `path`, whose name contains the dataset's, and return the file's sha256."""
    data = trained_on(path.stem)
    about = {
        "data": data.credit,
        "licence": data.licence,
        "recipe": recipe,
        "seed": seed,
        "log": dict(log),
    }
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    save_weights(path, state, WeightsHeader(architecture, config, data.classes, about))
    return hashlib.sha256(path.read_bytes()).hexdigest()
