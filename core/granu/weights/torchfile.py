"""Reading files written by torch.save, without running code that they contain."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

ZIP = b"PK"
LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # pickled magic number, before torch 1.6


def is_torch_file(file: Path) -> bool:
    """Recognise files of torch.save by their first bytes."""
    with file.open("rb") as stream:
        return stream.read(len(LEGACY)).startswith((ZIP, LEGACY))


def read_torch_file(file: Path) -> Any:
    """Read a file of tensors and plain data. WeightsError if it is damaged or holds anything else."""
    import torch

    if not is_torch_file(file):
        raise WeightsError(f"{file} is neither a file of torch.save nor of another known format")
    try:
        # training scripts often save their arguments too; a Namespace holds data only
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{file} is refused: it is damaged or holds more than tensors, which granu does not run; "
            "save the state dict alone"
        ) from None
    except Exception as problem:  # damaged bytes can raise anything
        first = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise WeightsError(f"{file} is truncated or damaged: {first}") from None


def as_state_dict(content: Any, file: Path) -> dict[str, Tensor]:
    """Tensors by name, floats as float32. WeightsError if the content of `file` is not a state dict."""
    import torch

    if not isinstance(content, dict) or not all(isinstance(t, torch.Tensor) for t in content.values()):
        raise WeightsError(f"{file} holds no state dict (names and tensors); save the state dict alone")
    return {str(name): t.float() if t.is_floating_point() else t for name, t in content.items()}
