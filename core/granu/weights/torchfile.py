"""Tensors out of a file that torch.save wrote, without running anything that it carries."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

ZIP = b"PK"
BEFORE_ZIPS = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # a pickled magic number


def is_torch_file(file: Path) -> bool:
    """Whether the file begins as those of torch.save do."""
    with file.open("rb") as stream:
        return stream.read(len(BEFORE_ZIPS)).startswith((ZIP, BEFORE_ZIPS))


def read_torch_file(file: Path) -> Any:
    """What the file holds, if that is tensors and plain data. WeightsError if it is damaged or holds more."""
    import torch

    if not is_torch_file(file):
        raise WeightsError(f"{file} is no file of torch.save, nor in any other form that is known here")
    try:
        # training scripts like to save their arguments too; a Namespace only holds them
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{file} is refused: it is damaged or holds more than tensors, which granu does not run; "
            "save the state dict alone"
        ) from None
    except Exception as problem:  # damaged bytes can make a reader stumble over anything
        first = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise WeightsError(f"{file} is truncated or damaged: {first}") from None


def as_state_dict(content: Any, file: Path) -> dict[str, Tensor]:
    """The tensors by name, floats as float32. WeightsError where a file's content is no state dict."""
    import torch

    if not isinstance(content, dict) or not all(isinstance(t, torch.Tensor) for t in content.values()):
        raise WeightsError(f"{file} holds no state dict (names and tensors); save that alone")
    return {str(name): t.float() if t.is_floating_point() else t for name, t in content.items()}
