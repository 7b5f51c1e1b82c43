"""The one writer of a run: it merges records, appends trials, keeps images; in a locked folder or in memory.

A line reaches the disk before the next outcome is taken, so a crash loses at most the items being computed; a line
that a crash cut off is dropped when the folder is opened again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from granu.errors import RunFolderError
from granu.files import write_whole
from granu.runs.records import (
    ClassifierRecord,
    CommandRecord,
    FailureRecord,
    PerturbationRecord,
    RunRecord,
    SiteRecord,
    differences,
)
from granu.runs.run import IMAGES, LOCK, RECORD, TRIALS, Run, parse_trials, read_run_record
from granu.runs.trials import Trial, read_trial


class RunWriter:
    """Writes to a run. Opened by `open_run`; without a folder everything stays in memory."""

    def __init__(self, run: Run, lock: IO[str] | None = None) -> None:
        self.run = run
        self.done = {trial.key for trial in run.trials}
        self._lock = lock
        self._lines = (run.folder / TRIALS).open("a") if run.folder else None

    @property
    def record(self) -> RunRecord:
        """The records of the run; `save_record` writes what was changed."""
        return self.run.record

    def merge(self, perturbations: Iterable[PerturbationRecord], classifiers: Iterable[ClassifierRecord]) -> None:
        """Add the records of a command. RunFolderError if trials of theirs were measured in another way."""
        for perturbation in perturbations:
            known = self.record.perturbations.get(perturbation.key)
            if known is None or not self._has_trials(perturbation=perturbation.key):
                self.record.perturbations[perturbation.key] = perturbation
                continue
            if changed := "; ".join(differences(known, perturbation)):
                raise self._conflict(f"`{perturbation.key}` was measured differently ({changed})")
            self._refuse_other_weights(known.weights, perturbation.weights)
            self.record.perturbations[known.key] = dataclasses.replace(known, label=perturbation.label or known.label)
        for classifier in classifiers:
            before = self.record.classifiers.get(classifier.name)
            if before is not None and self._uses(classifier.name):
                self._refuse_other_weights(before.weights, classifier.weights)
                if before.fingerprint != classifier.fingerprint:
                    raise self._conflict(
                        f"the classifier '{classifier.name}' is not the one measured there: its weights or "
                        "preprocessing changed"
                    )
            label = classifier.label or (before.label if before else "")
            self.record.classifiers[classifier.name] = dataclasses.replace(classifier, label=label)
        self.save_record()

    def begin(self, command: CommandRecord) -> None:
        """Note a command. Failures of earlier ones are dropped: what failed is tried again."""
        self.record.commands.append(command)
        self.record.failures = []
        self.save_record()

    def append(self, trials: Iterable[Trial], images: Mapping[str, bytes]) -> None:
        """Write images, then trials, so that a trial on the disk means that its images are there."""
        trials = [read_trial(trial.line()) for trial in trials]  # rounded as the file holds them
        with self._writing():
            for name, data in images.items():
                self._keep(name, data)
            if self._lines is not None:
                self._lines.writelines(trial.line() for trial in trials)
                self._lines.flush()
                os.fsync(self._lines.fileno())
        self.run.trials += trials
        self.done.update(trial.key for trial in trials)

    def describe_perturbation(
        self, key: str, unit: str, sites: Mapping[str, Mapping[str, int]], weights: Mapping[str, str]
    ) -> None:
        """Complete a perturbation's record with what only measuring tells: unit, statistics of its sites, weights."""
        known = self.record.perturbations[key]
        self._refuse_other_weights(known.weights, weights)
        now = dataclasses.replace(
            known,
            unit=unit or known.unit,
            sites=tuple(_measured(site, sites.get(site.name)) for site in known.sites),
            weights={**known.weights, **weights},
        )
        if now != known:
            self.record.perturbations[key] = now
            self.save_record()

    def fail(self, failure: FailureRecord) -> None:
        """Record images that could not be measured; equal reasons of one classifier and perturbation are joined."""
        for i, known in enumerate(self.record.failures):
            if (known.classifier, known.perturbation, known.reason) == (
                failure.classifier,
                failure.perturbation,
                failure.reason,
            ):
                self.record.failures[i] = dataclasses.replace(
                    known, images=known.images + failure.images, traceback=known.traceback or failure.traceback
                )
                break
        else:
            self.record.failures.append(failure)
        self.save_record()

    def save_record(self) -> None:
        """Write `run.json`."""
        if self.run.folder is not None:
            with self._writing():
                write_whole(
                    self.run.folder / RECORD, (json.dumps(self.record.as_json(), indent=2, default=str) + "\n").encode()
                )

    def close(self) -> None:
        """Let other processes write."""
        for stream in (self._lines, self._lock):
            if stream is not None:
                with contextlib.suppress(OSError):  # `append` has said what could not be written
                    stream.close()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep(self, name: str, data: bytes) -> None:
        if self.run.folder is None:
            self.run.images[name] = data
            return
        file = self.run.folder / IMAGES / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def _has_trials(self, perturbation: str) -> bool:
        return any(key[1] == perturbation for key in self.done)

    def _uses(self, name: str) -> bool:
        """True if trials depend on a classifier, as the one under test, a judge or a guide."""
        asked = {key for key, record in self.record.perturbations.items() if name in (*record.judges, *record.guides)}
        return any(classifier == name or perturbation in asked for classifier, perturbation, _ in self.done)

    def _refuse_other_weights(self, before: Mapping[str, str], now: Mapping[str, str]) -> None:
        for name in before.keys() & now.keys():
            if before[name] != now[name]:
                raise self._conflict(f"the weights '{name}' are not those measured there")

    def _conflict(self, what: str) -> RunFolderError:
        return RunFolderError(f"{what} in {self.run}; name another folder with --out, or start over with --fresh")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an OSError into a sentence that says that nothing measured is lost."""
        try:
            yield
        except OSError as problem:
            raise RunFolderError(
                f"cannot write to {self.run}: {problem.strerror}; what was measured is kept, "
                "so mend that and give the same command again"
            ) from None


def open_run(folder: Path | None, seed: int, precision: str, fresh: bool = False) -> RunWriter:
    """Start a run, or go on with one of the same seed and precision. RunFolderError if that cannot be.

    `fresh` deletes what an earlier run left in the folder. Without a folder the run stays in memory.
    """
    if folder is None:
        return RunWriter(Run(RunRecord(seed, precision)))
    _refuse_foreign_folder(folder)
    lock = _lock(folder)
    try:
        if fresh:
            _clear(folder)
        record = read_run_record(folder) if (folder / RECORD).exists() else RunRecord(seed, precision)
        for name, before, now in (("seed", record.seed, seed), ("precision", record.precision, precision)):
            if before != now:
                raise RunFolderError(
                    f"{folder} was measured with {name} {before}, not {now}; name another folder with --out, "
                    "or start over with --fresh"
                )
        trials = _repair_and_read(folder / TRIALS)
        writer = RunWriter(Run(record, trials, folder), lock)
        writer.save_record()
        return writer
    except BaseException:
        lock.close()
        raise


def _refuse_foreign_folder(folder: Path) -> None:
    """Refuse a folder that holds files but no run: they are not granu's to mix with or, with `fresh`, to delete."""
    try:
        held = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
        begun = held <= {LOCK, IMAGES} and not any((folder / IMAGES).glob("*"))  # interrupted before its first record
    except OSError as problem:
        raise RunFolderError(f"cannot read {folder}: {problem.strerror}; name another folder with --out") from None
    if RECORD in held or begun:
        return
    if TRIALS in held:
        raise RunFolderError(
            f"{folder} holds trials, but its {RECORD}, which says how they were measured, is missing; put it back or "
            "name another folder with --out"
        )
    raise RunFolderError(f"{folder} holds other files and no run; name an empty or new folder with --out")


def _lock(folder: Path) -> IO[str]:
    try:
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a")
    except OSError as problem:
        raise RunFolderError(f"cannot write to {folder}: {problem.strerror}; name another folder with --out") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise RunFolderError(
            f"another granu is writing to {folder}; wait for it, or name another folder with --out"
        ) from None
    return lock


def _clear(folder: Path) -> None:
    """Delete an earlier run's own files, and no others."""
    for name in (RECORD, TRIALS):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / IMAGES)
    (folder / IMAGES).mkdir()


def _repair_and_read(file: Path) -> list[Trial]:
    """Read all complete lines, and cut off what a crash left of the last one."""
    if not file.exists():
        return []
    data = file.read_bytes()
    complete = data.rfind(b"\n") + 1
    if complete < len(data):
        with file.open("r+b") as stream:
            stream.truncate(complete)
    return list(parse_trials(data[:complete], file))


def _measured(site: SiteRecord, now: Mapping[str, int] | None) -> SiteRecord:
    """A site's record with its statistics; the largest number of clamped neurons over all classes counts."""
    if now is None:
        return site
    clamped = max(site.clamped or 0, now["clamped"])
    across = site.across or bool(now.get("across"))
    return dataclasses.replace(site, samples=now["samples"], neurons=now["neurons"], clamped=clamped, across=across)
