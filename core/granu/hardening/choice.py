"""The choice of a round: the change under which a classifier is weakest relative to the reference, and the size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from granu.report.comparison import Comparison, compare
from granu.report.formatting import FEW_PAIRS
from granu.report.pairing import MeasuredClassifier
from granu.report.rows import observation
from granu.report.statistics import Ratio, median_size
from granu.runs.run import Run
from granu.runs.trials import FAILED

SMALLEST_SHARE = 0.25  # of the size, to which it is halved while clean accuracy falls too far


@dataclass(frozen=True)
class Choice:
    """A change to train against: sizes relative to the reference there, and the size to spend in its unit.

    The size is `share` of the reference's median.
    """

    key: str
    ratio: Ratio
    budget: float
    share: float
    unit: str


def ratios(run: Run, first: str, second: str) -> dict[str, Comparison]:
    """Sizes of the second classifier relative to those of the first, on the images that both classify correctly."""
    made = compare(MeasuredClassifier(run, first), MeasuredClassifier(run, second))
    return {one.perturbation: one for one in made if one.sizes is not None and one.sizes.pairs >= FEW_PAIRS}


def weakest(run: Run, classifier: str, reference: str, shares: Mapping[str, float], size: float) -> Choice | None:
    """The change with the smallest ratio among those whose interval lies below 1; None where there is none.

    `shares` are those of the size that changes tried before are to be trained with; one below SMALLEST_SHARE is
    not chosen again. The size is the reference's median smallest size there, times `size`.
    """
    weaker = [
        (one.sizes.value, key, one)
        for key, one in ratios(run, reference, classifier).items()
        if _is_below(one.sizes) and shares.get(key, 1.0) >= SMALLEST_SHARE and one.sizes and one.sizes.value is not None
    ]
    if not weaker:
        return None
    _, key, one = min(weaker, key=lambda found: (found[0], found[1]))
    assert one.sizes is not None
    share = size * shares.get(key, 1.0)
    return Choice(key, one.sizes, float(f"{share * _median(run, reference, key):.3g}"), share, one.unit)


def _is_below(ratio: Ratio | None) -> bool:
    return ratio is not None and ratio.high is not None and ratio.high < 1


def is_above(ratio: Ratio | None) -> bool:
    """True if the interval of a ratio lies above 1."""
    return ratio is not None and ratio.low is not None and ratio.low > 1


def worse(compared: Mapping[str, Comparison]) -> tuple[str, ...]:
    """The changes under which the second classifier is shown to be worse than the first."""
    return tuple(key for key, one in compared.items() if _is_below(one.sizes))


def _median(run: Run, classifier: str, key: str) -> float:
    """The median smallest size; the largest tried where it lies beyond."""
    trials = [t for t in MeasuredClassifier(run, classifier).trials if t.perturbation == key]
    median = median_size([observation(t) for t in trials if t.counts and t.outcome != FAILED])
    assert median is not None  # there are pairs
    return median.value or median.largest
