"""From trials to rows: what came of one classifier under one perturbation, coarse to fine."""

from __future__ import annotations

import math
import statistics as middle
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from granu.errors import GranuError
from granu.plugins.spec import parse_spec
from granu.report.statistics import Median, Observation, Rate, median_size, rate
from granu.runs.folder import Run
from granu.runs.trials import CLEAN_WRONG, FAILED, FOUND, UNREADABLE, Trial


@dataclass(frozen=True)
class Row:
    """One classifier under one perturbation. Sizes are in `unit`; `l2` to `features` are medians over the found.

    `confirmed` and `confirmed_size` are None where nobody judged. With a `budget` no smallest size was searched,
    so that there are no median sizes.
    """

    classifier: str
    perturbation: str
    unit: str
    budget: float | None
    counted: int
    clean_wrong: int
    unreadable: int
    failed: int
    reasons: tuple[tuple[str, int], ...]  # why searches failed, most frequent first
    found: Rate
    confirmed: Rate | None  # found, and every judge still sees the label; a share of the counted
    size: Median | None
    confirmed_size: Median | None
    l2: float | None
    linf: float | None
    ssim: float | None
    pixels: float | None
    features: float | None
    control: Rate | None  # random changes of the same size that fooled too; a share of the found
    forward: float  # passes through the classifier per counted image
    backward: float
    image_sizes: tuple[tuple[int, int], ...]  # heights and widths, smallest first, at which changes were measured


def rows(run: Run) -> list[Row]:
    """The rows of a run, classifier by classifier, perturbations in the run's order. GranuError if it is empty."""
    if not run.trials:
        raise GranuError(f"{run.folder} holds no trials yet; give the `granu eval` command that began it again")
    return rows_of(run.trials, run.record.get("order", ()))


def rows_of(trials: Iterable[Trial], order: Sequence[str] = ()) -> list[Row]:
    """One row per classifier and perturbation; perturbations that `order` does not name come last."""
    cells: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        cells.setdefault((trial.classifier, trial.perturbation), []).append(trial)
    classifiers = list(dict.fromkeys(classifier for classifier, _ in cells))
    perturbations = in_order((perturbation for _, perturbation in cells), order)
    return [_row(c, p, _without_repeats(cells[c, p])) for c in classifiers for p in perturbations if (c, p) in cells]


def in_order(keys: Iterable[str], order: Sequence[str]) -> list[str]:
    """The keys, each once, as `order` lists them, and then those that it does not know."""
    place = {key: position for position, key in enumerate(order)}
    return sorted(dict.fromkeys(keys), key=lambda key: place.get(key, len(place)))


def observation(trial: Trial) -> Observation:
    """What a counted trial says of the smallest size that fools; where no size is known, that it lies beyond 0."""
    size = _finite(trial.size)
    if trial.outcome == FOUND:
        return Observation(0.0, False) if size is None else Observation(size, True)
    return Observation(_finite(trial.tried) or 0.0, False)


def confirmed_observation(trial: Trial) -> Observation:
    """What a counted trial says of the smallest size that fools while the label stays.

    Where the judges do not confirm what was found, no confirmed change is known up to that size; the true one may
    be larger. So the image is censored there: leaving it out would say that it had never been looked at.
    """
    plain = observation(trial)
    return plain if trial.confirmed else Observation(plain.size, False)


def is_judged(trials: Iterable[Trial]) -> bool:
    """Whether anybody voted on the label."""
    return any(trial.votes for trial in trials)


def budget_of(perturbation: str) -> float | None:
    """What a perturbation spends, where its search is at a budget and not for the smallest change."""
    options = dict(parse_spec(perturbation).options)
    return float(options["budget"]) if options.get("search") in ("worst", "random") else None


def _without_repeats(trials: Iterable[Trial]) -> list[Trial]:
    return list({trial.image: trial for trial in trials}.values())


def _row(classifier: str, perturbation: str, trials: Sequence[Trial]) -> Row:
    counted = [t for t in trials if t.counts]
    found = [t for t in counted if t.outcome == FOUND]
    failed = [t for t in counted if t.outcome == FAILED]
    controls = [t.control for t in found if t.control is not None]
    budget, judged = budget_of(perturbation), is_judged(counted)
    sized = counted if budget is None else []
    return Row(
        classifier=classifier,
        perturbation=perturbation,
        unit=next((t.unit for t in counted if t.unit), ""),
        budget=budget,
        counted=len(counted),
        clean_wrong=sum(t.outcome == CLEAN_WRONG for t in trials),
        unreadable=sum(t.outcome == UNREADABLE for t in trials),
        failed=len(failed),
        reasons=tuple(Counter(t.note or "no reason given" for t in failed).most_common()),
        found=rate(len(found), len(counted)),
        confirmed=rate(sum(t.confirmed for t in found), len(counted)) if judged else None,
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
