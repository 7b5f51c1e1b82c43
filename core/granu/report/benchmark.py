"""Accuracy under changes of fixed sizes: of an image, of a row, and the mean over the perturbations of one name.

An image's score is the share of the fixed sizes at which the classifier is right. One that was misclassified before any
change scores 0 and is counted, as in benchmarks of common corruptions; one that cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.errors import GranuError, suggest
from granu.report import formatting
from granu.report.statistics import LEVEL, Mean, mean
from granu.runs.trials import CLEAN_WRONG, UNREADABLE, Trial

if TYPE_CHECKING:
    import numpy as np

    from granu.report.rows import Row
    from granu.runs.run import Run

Scores = Mapping[str, float]  # image -> score, from 0 to 1
DRAWS = 2000  # of the bootstrap


def score(trial: Trial) -> float | None:
    """The score of a trial; None where it has no fixed sizes, or the image cannot be read."""
    if trial.outcome == CLEAN_WRONG:
        return 0.0
    if trial.outcome == UNREADABLE or not trial.levels:
        return None
    return sum(predicted == trial.label for predicted in trial.levels.values()) / len(trial.levels)


def fixed_sizes(trials: Iterable[Trial]) -> tuple[float, ...]:
    """The sizes at which changes were judged, smallest first; empty where a size was searched."""
    return tuple(sorted({float(size) for trial in trials for size in trial.levels}))


def accuracy(trials: Sequence[Trial]) -> Mean | None:
    """The mean score of trials; None without fixed sizes."""
    return mean(list(_scores(trials).values())) if fixed_sizes(trials) else None


@dataclass(frozen=True)
class RelativeError:
    """Mean over perturbations of the error relative to another classifier's, on shared images, with its interval.

    1 where they agree. `without` are perturbations under which the other classifier makes no error, which are left out;
    `value` is None where nothing is left.
    """

    reference: str
    value: float | None
    low: float | None
    high: float | None
    images: int
    without: tuple[str, ...]


@dataclass(frozen=True)
class Benchmark:
    """Mean accuracy of a classifier over perturbations of one name at the same fixed sizes.

    Only images that were read under all of them count, so that every perturbation weighs the same.
    """

    classifier: str
    name: str  # of the perturbations: what stands before their targets
    unit: str
    levels: tuple[float, ...]
    accuracy: Mean
    by_level: Mapping[float, float]  # size -> accuracy
    by_perturbation: Mapping[str, float]
    relative: RelativeError | None = None

    def lines(self) -> list[str]:
        """A sentence on the accuracy, and one on the relative error where a reference is given."""
        shown = f"{formatting.decimals(self.accuracy.value)} % {_interval(self.accuracy.low, self.accuracy.high)}"
        levels = formatting.listed([f"{level:g}" for level in self.levels])
        said = [
            f"{self.classifier}: mean accuracy {shown} over {len(self.by_perturbation)} perturbations of {self.name}, "
            f"{self.unit} {levels} ({self.accuracy.images} images, misclassified ones included)"
        ]
        if self.relative is not None:
            said.append(f"{self.classifier}: {_relative(self.relative)}")
        return said


def benchmarks(run: Run, rows: Sequence[Row], reference: str | None = None) -> list[Benchmark]:
    """A benchmark for each classifier and each name of which several perturbations were measured at the same sizes.

    GranuError if `reference` is no classifier of the run.
    """
    measured = list(dict.fromkeys(row.classifier for row in rows))
    if reference is not None and reference not in measured:
        raise GranuError(f"{run} holds no results of '{reference}'; {suggest(reference, measured)}")
    scores = _by_row(run)
    made = []
    for classifier in measured:
        for (name, levels), group in _families(run, [row for row in rows if row.classifier == classifier]).items():
            if len(group) < 2:
                continue
            own = {row.perturbation: scores[classifier, row.perturbation] for row in group}
            theirs = {key: scores[reference, key] for key in own if reference and (reference, key) in scores}
            trials = [t for t in run.trials if t.classifier == classifier and t.perturbation in own]
            made.append(
                Benchmark(
                    classifier, name, group[0].unit, levels,
                    accuracy=mean(_means(own)),
                    by_level=_by_level(trials, levels, set(_shared(own))),
                    by_perturbation={key: sum(of.values()) / len(of) for key, of in own.items()},
                    relative=_compare(own, theirs, reference) if reference and reference != classifier else None,
                )
            )  # fmt: skip
    return made


def _families(run: Run, rows: Sequence[Row]) -> dict[tuple[str, tuple[float, ...]], list[Row]]:
    families: dict[tuple[str, tuple[float, ...]], list[Row]] = {}
    for row in rows:
        if row.levels and row.accuracy is not None:
            families.setdefault((run.record.perturbations[row.perturbation].name, row.levels), []).append(row)
    return families


def _by_row(run: Run) -> dict[tuple[str, str], Scores]:
    trials: dict[tuple[str, str], list[Trial]] = {}
    for trial in run.trials:
        trials.setdefault((trial.classifier, trial.perturbation), []).append(trial)
    return {key: _scores(of) for key, of in trials.items()}


def _scores(trials: Iterable[Trial]) -> Scores:
    return {trial.image: known for trial in trials if (known := score(trial)) is not None}


def _shared(scores: Mapping[str, Scores]) -> list[str]:
    """Images that have a score under every perturbation, in order."""
    first, *others = scores.values()
    return [image for image in first if all(image in other for other in others)]


def _means(scores: Mapping[str, Scores]) -> list[float]:
    """The mean score of each shared image."""
    return [sum(of[image] for of in scores.values()) / len(scores) for image in _shared(scores)]


def _by_level(trials: Sequence[Trial], levels: Sequence[float], images: set[str]) -> dict[float, float]:
    """The accuracy at each size, over the perturbations and `images`."""
    counted = {(trial.perturbation, trial.image): trial for trial in trials if trial.image in images}
    return {
        level: sum(trial.levels.get(f"{level:g}") == trial.label for trial in counted.values() if trial.levels)
        / max(len(counted), 1)
        for level in levels
    }


def _compare(own: Mapping[str, Scores], theirs: Mapping[str, Scores], reference: str) -> RelativeError:
    """The relative error on images that both have under every perturbation, with a percentile bootstrap over images."""
    import numpy as np

    both = {f"own {key}": own[key] for key in theirs} | {f"their {key}": theirs[key] for key in theirs}
    images = _shared(both) if both else []
    if not images:
        return RelativeError(reference, None, None, None, 0, ())
    error, base = (np.array([[1 - of[key][image] for key in theirs] for image in images]) for of in (own, theirs))
    kept = base.sum(axis=0) > 0
    without = tuple(key for key, keep in zip(theirs, kept, strict=True) if not keep)
    if not kept.any():
        return RelativeError(reference, None, None, None, len(images), without)
    error, base = error[:, kept], base[:, kept]
    chosen = np.random.default_rng(0).integers(len(images), size=(DRAWS, len(images)))
    drawn = [_ratio(error[rows], base[rows]) for rows in chosen]
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return RelativeError(reference, _ratio(error, base), float(low), float(high), len(images), without)


def _ratio(error: np.ndarray, base: np.ndarray) -> float:
    """Mean over perturbations of the ratio of summed errors; those where a sample has none of the base are left out."""
    import numpy as np

    sums, bases = error.sum(axis=0), base.sum(axis=0)
    return float((sums[bases > 0] / bases[bases > 0]).mean()) if (bases > 0).any() else float(np.nan)


def _relative(relative: RelativeError) -> str:
    if relative.value is None:
        return f"no error relative to {relative.reference}, which makes none or shares no images"
    said = f"mean corruption error (mCE) {formatting.decimals(relative.value)} % "
    said += f"{_interval(relative.low, relative.high)} relative to {relative.reference} ({relative.images} images)"
    if relative.without:
        said += f"; left out, since it makes no error there: {', '.join(relative.without)}"
    return said


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f"[{formatting.decimals(low)}–{formatting.decimals(high)}]"
