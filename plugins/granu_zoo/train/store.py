"""Writing weights that ship: half precision, with everything that is needed to open them in the file's header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

__all__ = ["store"]

DATA = "MNIST (LeCun, Cortes, Burges)"
LICENCE = "CC BY-SA 3.0"


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
    header = {
        "format": 1,
        "architecture": architecture,
        "config": dict(config),
        "classes": [str(digit) for digit in range(10)],
        "data": DATA,
        "licence": LICENCE,
        "recipe": recipe,
        "seed": seed,
        "log": dict(log),
    }
    tensors = {
        name: value.detach().to(torch.float16 if value.is_floating_point() else value.dtype).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(tensors, path, metadata={"granu": json.dumps(header)})
    return hashlib.sha256(path.read_bytes()).hexdigest()
