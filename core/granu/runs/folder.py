"""The folder of one run: `run.json`, `trials.jsonl` and `images/`; start, append, resume, read.

A line is flushed to disk before the next batch begins, so that a crash loses at most the batch at work; a line
that a crash cut off is dropped when the folder is opened again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from granu.errors import RunFolderError
from granu.files import write_whole
from granu.runs.trials import Trial, read_trial

RECORD, TRIALS, IMAGES, LOCK = "run.json", "trials.jsonl", "images", ".lock"


@dataclass
class Run:
    """A run folder, open for writing and locked, or only read."""

    folder: Path
    record: dict[str, Any]
    trials: list[Trial] = field(default_factory=list)
    done: set[tuple[str, str, str]] = field(default_factory=set)
    _lock: IO[str] | None = None
    _lines: IO[str] | None = None

    @property
    def images(self) -> Path:
        return self.folder / IMAGES

    def append(self, trials: Iterable[Trial]) -> None:
        """Write trials and see them safely on the disk."""
        assert self._lines is not None, "the run is only open for reading"
        trials = list(trials)
        with self.writing():
            self._lines.writelines(trial.line() for trial in trials)
            self._lines.flush()
            os.fsync(self._lines.fileno())
        self.trials += trials
        self.done.update(trial.key for trial in trials)

    def amend(self, **entries: Any) -> None:
        """Set entries of `run.json`."""
        self.record.update(entries)
        with self.writing():
            write_whole(self.folder / RECORD, (json.dumps(self.record, indent=2) + "\n").encode())

    def close(self) -> None:
        """Let others in."""
        for stream in (self._lines, self._lock):
            if stream is not None:
                with contextlib.suppress(OSError):  # `append` has message what could not be written
                    stream.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turns an OSError into a sentence that says that nothing measured is lost."""
        try:
            yield
        except OSError as problem:
            raise RunFolderError(
                f"cannot write to {self.folder}: {problem.strerror}; what was measured is kept, "
                "so mend that and give the same command again"
            ) from None

    def note_weights(self, weights: Mapping[str, str]) -> None:
        """Record the sha256 of the weights in use. RunFolderError if trials here were made with other ones."""
        known = self.record.get("weights", {})
        for name, digest in weights.items():
            if known.get(name, digest) != digest:
                raise RunFolderError(
                    f"the weights '{name}' are not those that {self.folder} was measured with; "
                    "name another folder with --out"
                )
        if weights.keys() - known.keys():
            self.amend(weights={**known, **weights})


def open_run(folder: Path, identity: Mapping[str, Any]) -> Run:
    """Start a run, or go on with one that has the same identity. RunFolderError if that cannot be.

    `identity` is what every trial of the folder depends on (seed, data, weights): plain JSON data.
    """
    try:
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a")
    except OSError as problem:
        reason = problem.strerror
        raise RunFolderError(f"cannot write to {folder}: {reason}; name another folder with --out") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise RunFolderError(
            f"another granu is at work in {folder}; wait for it, or name another folder with --out"
        ) from None
    try:
        record = _read_record(folder) if (folder / RECORD).exists() else {"identity": dict(identity)}
        _refuse_another_plan(folder, record.get("identity", {}), identity)
        trials = _mend_and_read(folder / TRIALS)
        run = Run(folder, record, trials, {t.key for t in trials}, lock, (folder / TRIALS).open("a"))
        run.amend()
        return run
    except BaseException:
        lock.close()
        raise


def read_run(folder: Path) -> Run:
    """A run's record and trials, only for reading; a run that is still going on can be read too."""
    if not (folder / RECORD).is_file():
        raise RunFolderError(f"{folder} is no run: it holds no {RECORD}; `granu eval --out {folder}` makes one")
    file = folder / TRIALS
    trials = list(_whole_lines(file.read_bytes())) if file.exists() else []
    return Run(folder, _read_record(folder), trials, {t.key for t in trials})


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        raise RunFolderError(f"{folder / RECORD} does not parse; this folder is no run that granu wrote") from None
    if not isinstance(record, dict):
        raise RunFolderError(f"{folder / RECORD} is no record of a run; name another folder")
    return record


def _refuse_another_plan(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differing = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if differing:
        message = "; ".join(f"{key} was {_brief(before.get(key))}, now {_brief(now.get(key))}" for key in differing)
        raise RunFolderError(f"{folder} holds a run of another plan ({message}); name another folder with --out")


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _mend_and_read(file: Path) -> list[Trial]:
    """Read all whole lines and cut off what a crash left of the last one."""
    if not file.exists():
        return []
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with file.open("r+b") as stream:
            stream.truncate(len(whole))
    return list(_whole_lines(whole))


def _whole_lines(data: bytes) -> Iterator[Trial]:
    whole = data[: data.rfind(b"\n") + 1].decode(errors="replace")
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            yield read_trial(line)
        except (ValueError, TypeError):
            raise RunFolderError(f"line {number} of {TRIALS} is damaged; delete that line to go on") from None
