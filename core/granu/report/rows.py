"""Rows: the results of one classifier under one perturbation, computed from a run's trials and records."""

from __future__ import annotations

import math
import re
import statistics as middle
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from granu.errors import GranuError, RunFolderError
from granu.report.benchmark import accuracy, fixed_sizes
from granu.report.robustness import robust_accuracy
from granu.report.statistics import Mean, Median, Observation, Rate, median_size, rate
from granu.runs.records import PerturbationRecord
from granu.runs.run import Run
from granu.runs.trials import (
    CLASSIFIER,
    CLEAN_WRONG,
    FAILED,
    FOUND,
    IMAGES,
    NOT_ENCODED,
    RECONSTRUCTION_WRONG,
    UNREADABLE,
    Trial,
)


@dataclass(frozen=True)
class Row:
    """One classifier under one perturbation. Sizes are in `unit`; `l2` to `features` are medians over what was found.

    `confirmed` and `confirmed_size` are None without judges, and where `evidence` is "classifier". With a `budget` no
    smallest size was searched, so `size` is None.
    """

    classifier: str
    perturbation: str
    evidence: str  # "images" or "classifier" (`granu.runs.trials`)
    unit: str
    budget: float | None
    counted: int
    clean_wrong: int
    unreadable: int
    reconstruction_wrong: int
    not_encoded: int
    failed: int
    reasons: tuple[tuple[str, int], ...]  # why searches failed, most frequent first
    found: Rate
    confirmed: Rate | None  # found, and every judge still sees the label; a share of the counted
    levels: tuple[float, ...]  # the fixed sizes at which changes were judged; empty where a size was searched
    # mean over these sizes, or robust accuracy at the budget; images misclassified before any change count as wrong
    accuracy: Mean | None
    size: Median | None
    confirmed_size: Median | None
    l2: float | None
    linf: float | None
    ssim: float | None
    pixels: float | None
    features: float | None
    control: Rate | None  # random changes of the same size that fool the classifier too; a share of the found
    forward: float  # passes through the classifier per counted image
    backward: float
    image_sizes: tuple[tuple[int, int], ...]  # heights and widths, smallest first, at which changes were measured

    @property
    def clean_right(self) -> int:
        """Images that were classified correctly as they came, also those that an encoding lost."""
        return self.counted + self.reconstruction_wrong + self.not_encoded

    @property
    def left_out(self) -> int:
        """Images that enter no rate."""
        return self.clean_wrong + self.unreadable + self.reconstruction_wrong + self.not_encoded


def rows(run: Run) -> list[Row]:
    """The rows of a run: classifier by classifier, perturbations in the order of the records.

    GranuError if the run is empty, RunFolderError if a trial has no record.
    """
    check_run(run)
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in run.trials:
        groups.setdefault((trial.classifier, trial.perturbation), []).append(trial)
    return [
        _row(classifier, record, without_repeats(groups[classifier, key]))
        for classifier in classifiers_of(run)
        for key, record in run.record.perturbations.items()
        if (classifier, key) in groups
    ]


def check_run(run: Run) -> None:
    """Check that there are trials, and a record of everything that they name."""
    if not run.trials:
        raise GranuError(f"{run} holds no trials yet; repeat the `granu eval` command that started it")
    for trial in run.trials:
        for kind, name, known in (
            ("perturbation", trial.perturbation, run.record.perturbations),
            ("classifier", trial.classifier, run.record.classifiers),
        ):
            if name not in known:
                raise RunFolderError(
                    f"run.json has no record of the {kind} '{name}' that trials of {run} name; "
                    "restore it, or measure into another folder"
                )


def classifiers_of(run: Run) -> list[str]:
    """Classifiers that have trials, in the order of the records."""
    measured = {trial.classifier for trial in run.trials}
    return [name for name in run.record.classifiers if name in measured]


def judges_of(record: PerturbationRecord, classifier: str) -> frozenset[str]:
    """Judges of a perturbation's changes against a classifier: neither itself nor a guide."""
    return frozenset(record.judges) - {classifier, *record.guides}


def observation(trial: Trial) -> Observation:
    """A counted trial's evidence on the smallest size that fools; beyond 0 where no size is known."""
    size = _finite(trial.size)
    if trial.outcome == FOUND:
        return Observation(0.0, False) if size is None else Observation(size, True)
    return Observation(_finite(trial.tried) or 0.0, False)


def confirmed_observation(trial: Trial) -> Observation:
    """A counted trial's evidence on the smallest size that fools while every judge still sees the label.

    A found change that the judges do not confirm is censored at its size: no confirmed change is known up to there,
    and the true one may be larger. To leave the image out would bias the median towards small sizes.
    """
    plain = observation(trial)
    return plain if trial.confirmed else Observation(plain.size, False)


def without_repeats(trials: Iterable[Trial]) -> list[Trial]:
    """The last trial of each image, in the images' natural order: `img2` before `img10`.

    Workers append trials in any order, and a bootstrap's interval depends on the order of its sample.
    """
    by_image = {trial.image: trial for trial in trials}
    return [by_image[image] for image in sorted(by_image, key=natural)]


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts numbers in names by value."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def _row(classifier: str, record: PerturbationRecord, trials: Sequence[Trial]) -> Row:
    counted = [t for t in trials if t.counts]
    found = [t for t in counted if t.outcome == FOUND]
    failed = [t for t in counted if t.outcome == FAILED]
    controls = [t.control for t in found if t.control is not None]
    evidence = CLASSIFIER if any(t.evidence == CLASSIFIER for t in counted) else IMAGES
    judged = evidence == IMAGES and bool(judges_of(record, classifier))
    # a search that could not run says nothing about sizes
    sized = [t for t in counted if t.outcome != FAILED] if record.budget is None else []
    return Row(
        classifier=classifier,
        perturbation=record.key,
        evidence=evidence,
        unit=record.unit or next((t.unit for t in counted if t.unit), ""),
        budget=record.budget,
        counted=len(counted),
        clean_wrong=sum(t.outcome == CLEAN_WRONG for t in trials),
        unreadable=sum(t.outcome == UNREADABLE for t in trials),
        reconstruction_wrong=sum(t.outcome == RECONSTRUCTION_WRONG for t in trials),
        not_encoded=sum(t.outcome == NOT_ENCODED for t in trials),
        failed=len(failed),
        reasons=tuple(Counter(t.note or "no reason given" for t in failed).most_common()),
        found=rate(len(found), len(counted)),
        confirmed=rate(sum(t.confirmed for t in found), len(counted)) if judged else None,
        levels=fixed_sizes(counted),
        accuracy=accuracy(trials) if record.budget is None else robust_accuracy(trials),
        size=median_size([observation(t) for t in sized]),
        confirmed_size=median_size([confirmed_observation(t) for t in sized]) if judged else None,
        l2=_median(t.l2 for t in found),
        linf=_median(t.linf for t in found),
        ssim=_median(t.ssim for t in found),
        pixels=_median(t.pixels for t in found),
        features=_median(t.features for t in found),
        control=rate(sum(controls), len(controls)) if controls else None,
        forward=_mean(t.forward for t in counted),
        backward=_mean(t.backward for t in counted),
        image_sizes=tuple(sorted({(t.height, t.width) for t in counted if t.height and t.width})),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in map(_finite, values) if v is not None]
    return middle.median(known) if known else None


def _mean(values: Iterable[int]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.0


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
