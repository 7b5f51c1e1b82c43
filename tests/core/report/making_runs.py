"""Runs made by hand, in memory or in a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from granu.runs.records import ClassifierRecord, CommandRecord, PerturbationRecord, RunRecord, SourceRecord
from granu.runs.run import IMAGES, RECORD, TRIALS, Run
from granu.runs.trials import Trial

TINY = SourceRecord("tiny", "generator", "a1", ("cat", "dog"))
CLASSES = ("cat", "dog", "<b>fox</b>")


def perturbation(key: str, **more: Any) -> PerturbationRecord:
    """The record of `name:target`, with images of the generator `tiny`."""
    name, _, target = key.partition(":")
    fields: dict[str, Any] = {
        "key": key, "name": name, "target": target or None, "given": {}, "plugin": name, "distribution": "granu 0",
        "options": {}, "source": TINY, "search": "smallest",
    }  # fmt: skip
    return PerturbationRecord(**(fields | more))


def spending(key: str, budget: float, **more: Any) -> PerturbationRecord:
    """The record of a perturbation that spends a budget."""
    return perturbation(key, search="worst", budget=budget, **more)


def classifier(name: str) -> ClassifierRecord:
    """The record of a classifier of three classes."""
    return ClassifierRecord(name, "zoo", "granu 0", {}, CLASSES, "f1")


def run_of(
    trials: Iterable[Trial],
    *records: PerturbationRecord,
    judges: tuple[str, ...] = (),
    folder: Path | None = None,
    **more: Any,
) -> Run:
    """A run of trials, in memory or written to a folder; perturbations without a given record get one with `judges`."""
    trials = list(trials)
    known = {record.key: record for record in records}
    for trial in trials:
        known.setdefault(trial.perturbation, perturbation(trial.perturbation, judges=judges))
    named = dict.fromkeys([*(t.classifier for t in trials), *(j for record in known.values() for j in record.judges)])
    commands = [
        CommandRecord("granu eval -p tiny:z", "2025-01-01T00:00:00Z", {"granu": "0.0.9", "device": "old"}),
        CommandRecord("granu eval -p tiny:all", "2025-01-02T00:00:00Z", {"granu": "0.1.0", "device": "cpu"}),
    ]
    record = RunRecord(perturbations=known, classifiers={name: classifier(name) for name in named}, commands=commands)
    for name, value in more.items():
        setattr(record, name, value)
    run = Run(record, trials, folder)
    if folder is not None:
        write(run)
    return run


def write(run: Run) -> None:
    """Write a run to its folder."""
    assert run.folder is not None
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / RECORD).write_text(json.dumps(run.record.as_json()))
    (run.folder / TRIALS).write_text("".join(trial.line() for trial in run.trials))
    for name, data in run.images.items():
        file = run.folder / IMAGES / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def png(value: float, shape: tuple[int, int] = (4, 4)) -> bytes:
    """A grey image of one value in [0, 1]."""
    stream = io.BytesIO()
    Image.fromarray(np.full(shape, round(255 * value), np.uint8)).save(stream, "png")
    return stream.getvalue()
