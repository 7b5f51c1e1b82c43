"""A run: its records, its trials and its images, from a folder or in memory. Reports are made from this alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu.errors import RunFolderError
from granu.runs.gallery import changed_name
from granu.runs.records import RunRecord, read_record
from granu.runs.trials import Trial, read_trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from granu.report.relative import RelativeProfile

RECORD, TRIALS, IMAGES, LOCK = "run.json", "trials.jsonl", "images", ".lock"


@dataclass
class Run:
    """Measured results with their records.

    `folder` is None for a run in memory, whose PNGs are then in `images`, by name.
    """

    record: RunRecord = field(default_factory=RunRecord)
    trials: list[Trial] = field(default_factory=list)
    folder: Path | None = None
    images: dict[str, bytes] = field(default_factory=dict)
    # (classifier, perturbation) -> the names that their images are stored under, where labels replace them
    stored: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.folder) if self.folder else "this run"

    def table(self) -> str:
        """The tables that `granu eval` prints, as text."""
        from granu.report.present import table_text

        return table_text(self)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A flat record per classifier and perturbation, numbers at full precision; `pandas.DataFrame` takes them."""
        from granu.report.present import rows_as_dicts

        return rows_as_dicts(self)

    def figure(self) -> Figure:
        """The granularity profile. GranuError where no smallest sizes were searched."""
        from granu.report.present import figure

        return figure(self)

    def relative(self, reference: str) -> RelativeProfile:
        """All other classifiers relative to one: sizes per perturbation, with `table()`, `to_dicts()` and `figure()`.

        GranuError where the run holds no other classifier, or no smallest sizes.
        """
        from granu.report.relative import relative_profile

        return relative_profile(self, reference)

    def _repr_html_(self) -> str:
        """The tables, for notebooks."""
        from granu.report.present import html

        return html(self)

    def changed_name(self, image: str, classifier: str, perturbation: str) -> str:
        """The name of the PNG of a changed image; classifier and perturbation are named as in the trials."""
        return changed_name(image, *self.stored.get((classifier, perturbation), (classifier, perturbation)))

    def read_image(self, name: str) -> bytes | None:
        """A PNG by its name (`granu.runs.gallery`); None where it was not kept."""
        if self.folder is None:
            return self.images.get(name)
        file = self.folder / IMAGES / name
        return file.read_bytes() if file.is_file() else None


def read_run(folder: Path) -> Run:
    """Read a run's folder; a run that is still going on can be read too. RunFolderError if it is not a run."""
    if not (folder / RECORD).is_file():
        raise RunFolderError(f"{folder} is no run: it holds no {RECORD}; `granu eval --out {folder}` makes one")
    file = folder / TRIALS
    trials = list(parse_trials(file.read_bytes(), file)) if file.exists() else []
    return Run(read_run_record(folder), trials, folder)


def recorded_sources(folder: Path) -> dict[str, str]:
    """The images that each perturbation of a run used: key -> spec of a generator or dataset; empty without a run."""
    if not (folder / RECORD).is_file():
        return {}
    return {key: record.source.spec for key, record in read_run_record(folder).perturbations.items()}


def read_run_record(folder: Path) -> RunRecord:
    """The records of a run's folder. RunFolderError if they do not parse."""
    file = folder / RECORD
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError):
        raise RunFolderError(f"{file} does not parse; this folder is no run that granu wrote") from None
    return read_record(data, str(file))


def parse_trials(data: bytes, file: Path) -> Iterator[Trial]:
    """The trials in all complete lines; a last line that a crash cut off is ignored."""
    complete = data[: data.rfind(b"\n") + 1].decode(errors="replace")
    for number, line in enumerate(complete.splitlines(), 1):
        try:
            yield read_trial(line)
        except ValueError as problem:
            reason = "it is no JSON" if type(problem) is not ValueError else problem
            raise RunFolderError(f"line {number} of {file} is damaged: {reason}; delete that line to go on") from None
