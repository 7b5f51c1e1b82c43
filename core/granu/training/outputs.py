"""The files that a training writes: the result, and beside it a checkpoint, a log and a figure."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granu.errors import RunFolderError, TrainingError, WeightsError
from granu.training.plan import differences, identity_of
from granu.weights.trained import TrainedHeader, read_trained

PLAN = "training"  # the key of a trained file's header that holds the plan


@dataclass(frozen=True)
class Outputs:
    """The result's file, and the names of those beside it."""

    result: Path

    @property
    def checkpoint(self) -> Path:
        """The state of a training that is not finished."""
        return self.result.with_name(self.result.name + ".checkpoint")

    @property
    def journal(self) -> Path:
        """A line of JSON per epoch."""
        return self.result.with_suffix(".jsonl")

    @property
    def figure(self) -> Path:
        """Loss and accuracy by epoch."""
        return self.result.with_suffix(".svg")

    @property
    def board(self) -> Path:
        """The folder of TensorBoard's files."""
        return self.result.with_suffix(".tensorboard")

    def finished(self, plan: Mapping[str, Any]) -> TrainedHeader | None:
        """The result's header if this plan, as JSON, is done already; None where there is no result.

        TrainingError if the file holds the result of another plan, or anything else.
        """
        if not self.result.exists():
            return None
        header = self._header()
        if header is None:
            raise TrainingError(f"{self.result} is no result of `granu train`; name another file with --out")
        if difference := differences(identity_of(header.about[PLAN]), identity_of(plan)):
            raise TrainingError(
                f"{self.result} is the result of another training ({difference}); name another file with --out, or "
                "start over with --fresh"
            )
        return header

    def clear(self) -> None:
        """Delete an earlier training's result and checkpoint. TrainingError if the result is something else."""
        if self.result.exists() and self._header() is None:
            raise TrainingError(f"{self.result} is no result of `granu train`; name another file with --out")
        for file in (self.result, self.checkpoint):
            file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file against other trainings. RunFolderError if another holds it, or the folder is not writable."""
        file = self.result.with_name(self.result.name + ".lock")
        try:
            self.result.parent.mkdir(parents=True, exist_ok=True)
            lock = file.open("a")
        except OSError as problem:
            raise RunFolderError(f"cannot write {self.result}: {problem.strerror}; name another --out") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunFolderError(
                    f"another granu is training {self.result}; wait for it, or name another file with --out"
                ) from None
            try:
                yield
            finally:
                file.unlink(missing_ok=True)

    def _header(self) -> TrainedHeader | None:
        try:
            header = read_trained(self.result)
        except WeightsError:
            return None
        return header if PLAN in header.about else None
