"""The log of a training: a line per epoch as JSON and as text, and TensorBoard's files where it is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from granu.errors import RunFolderError
from granu.files import write_whole


@dataclass(frozen=True)
class EpochRecord:
    """An epoch's result; epoch 0 is the classifier before training. Accuracies are shares of validation images."""

    epoch: int
    step: int  # steps done
    loss: float | None  # mean over the epoch's steps; None before training
    clean: float | None  # None where nothing validates
    robust: float | None  # None where no defense perturbs images
    rate: float  # learning rate of the last step
    seconds: float  # since the start, without interruptions
    best: bool = False  # whether it was the best so far
    notes: Mapping[str, float] = field(default_factory=dict)  # means of what the defenses noted in the epoch's steps

    def line(self, epochs: int) -> str:
        """For people."""
        parts = [f"epoch {self.epoch}/{epochs}"]
        parts += [f"loss {self.loss:.4f}"] if self.loss is not None else []
        parts += [f"clean {100 * self.clean:.2f} %"] if self.clean is not None else []
        parts += [f"robust {100 * self.robust:.2f} %"] if self.robust is not None else []
        parts += [f"{name} {value:.4g}" for name, value in self.notes.items()]
        parts += [f"learning rate {self.rate:.3g}", f"{self.seconds:.0f} s"] if self.epoch else ["before training"]
        return "  ".join(parts)


def read_record(values: Mapping[str, Any]) -> EpochRecord:
    """The inverse of `asdict`."""
    return EpochRecord(**values)


def write_journal(file: Path, records: Sequence[EpochRecord]) -> None:
    """Write all epochs so far, one line of JSON each. RunFolderError if that fails."""
    lines = "".join(json.dumps(asdict(record)) + "\n" for record in records)
    try:
        write_whole(file, lines.encode())
    except OSError as problem:
        raise RunFolderError(f"cannot write {file}: {problem.strerror}; free some space and repeat") from None


class Board:
    """TensorBoard's files, in a folder beside the result; nothing where TensorBoard is not installed."""

    def __init__(self, folder: Path) -> None:
        self.writer: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder))

    def write(self, record: EpochRecord) -> None:
        """Add an epoch."""
        if self.writer is None:
            return
        for name in ("loss", "clean", "robust", "rate"):
            value = getattr(record, name)
            if value is not None:
                self.writer.add_scalar(name, value, record.epoch)
        for name, value in record.notes.items():
            self.writer.add_scalar(name, value, record.epoch)
        self.writer.flush()
