"""Networks from programs written by torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from granu import ClassifierError


class Exported(nn.Module):
    """An exported program; its mode, training or evaluation, was fixed by the export."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, images: Tensor) -> Tensor:
        return self.program(images)

    def train(self, mode: bool = True) -> Self:
        """Set the flag only: torch cannot change the mode of an exported program."""
        self.training = mode
        return self


def load_exported(file: Path) -> Exported:
    """Read a `.pt2` file. ClassifierError if torch cannot read it."""
    try:
        return Exported(torch.export.load(file).module())
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ClassifierError(
            f"{file} cannot be read as an exported program ({reason}); write it with torch.export.save"
        ) from problem
