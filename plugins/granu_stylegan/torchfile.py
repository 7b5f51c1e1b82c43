"""Tensors out of a file that torch.save wrote, without running anything that it carries."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from granu import WeightsError

if TYPE_CHECKING:
    from torch import Tensor


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """The tensors by name, floats as float32. WeightsError if the file is damaged or holds anything else."""
    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        reason = "it is no file of torch.save, or holds more than tensors, which granu does not run"
        raise WeightsError(f"{file} is refused: {reason}; save the state dict alone") from None
    except Exception as problem:  # damaged bytes can make a reader stumble over anything
        first = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise WeightsError(f"{file} is truncated or damaged: {first}") from None
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise WeightsError(f"{file} holds no state dict (names and tensors); save that alone")
    return {str(name): t.float() if t.is_floating_point() else t for name, t in state.items()}
