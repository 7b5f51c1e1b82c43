"""Programs written by torch.export as networks."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from granu import ClassifierError


class Exported(nn.Module):
    """An exported program. Its mode was fixed when it was exported, so there is nothing to switch."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, images: Tensor) -> Tensor:
        return self.program(images)

    def train(self, mode: bool = True) -> Self:
        """Only note the mode: torch refuses to switch exported programs."""
        self.training = mode
        return self


def load_exported(file: Path) -> Exported:
    """Read a `.pt2` file. ClassifierError where torch cannot."""
    try:
        return Exported(torch.export.load(file).module())
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ClassifierError(
            f"{file} cannot be read as an exported program ({reason}); torch.export.save writes one"
        ) from problem
