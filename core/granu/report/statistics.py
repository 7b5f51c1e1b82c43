"""Intervals, survival curves and paired comparisons: pure arithmetic, without torch. All intervals are 95 %."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Rate:
    """A share with its Wilson interval; all three lie in [0, 1]."""

    hits: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """hits / total; NaN of nothing."""
        return self.hits / self.total if self.total else math.nan


def rate(hits: int, total: int) -> Rate:
    """A share with its interval (Wilson 1927); from 0 to 1 of nothing."""
    if total == 0:
        return Rate(0, 0, 0.0, 1.0)
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    interval = binomtest(hits, total).proportion_ci(LEVEL, method="wilson")
    return Rate(hits, total, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Mean:
    """The mean of numbers in [0, 1], one per image, with its interval."""

    value: float
    low: float
    high: float
    images: int


def mean(scores: Sequence[float]) -> Mean:
    """A mean with Wilson's interval at the effective number of images; NaN, from 0 to 1, of nothing.

    Scores between 0 and 1 vary less than hits and misses of the same mean, as if there were more images (Korn and
    Graubard 1998). Where all scores are 0 or 1 it is the interval of `rate`; where all are equal, too.
    """
    n = len(scores)
    if n == 0:
        return Mean(math.nan, 0.0, 1.0, 0)
    from scipy.stats import norm

    value = sum(scores) / n
    variance = sum((x - value) ** 2 for x in scores) / n
    effective = n * value * (1 - value) / variance if variance > 1e-12 else n
    z2 = float(norm.ppf((1 + LEVEL) / 2)) ** 2
    centre = (value + z2 / (2 * effective)) / (1 + z2 / effective)
    half = math.sqrt(z2 * (value * (1 - value) / effective + z2 / (4 * effective**2))) / (1 + z2 / effective)
    return Mean(value, max(0.0, centre - half), min(1.0, centre + half), n)


@dataclass(frozen=True)
class Observation:
    """Evidence on one image's smallest size: it equals `size`, or, if not `exact`, lies beyond `size` (censored)."""

    size: float
    exact: bool


@dataclass(frozen=True)
class Survival:
    """Robust accuracy against size: the share of images that no change up to a size was found to fool.

    A step function: from `sizes[i]` on it is `share[i]`, in the band `low[i]` to `high[i]`; before the first size
    it is 1. `at_risk[i]` images were searched up to `sizes[i]` and not found before.
    """

    sizes: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    at_risk: tuple[int, ...]


@dataclass(frozen=True)
class Median:
    """A median size with its interval, in the unit of the sizes; None means beyond `largest`."""

    value: float | None
    low: float | None
    high: float | None
    largest: float  # the largest size that was tried
    images: int


def survival(observations: Sequence[Observation]) -> Survival:
    """Kaplan-Meier curve (1958) with the log-log band of Kalbfleisch and Prentice (2002, section 1.4).

    That band is undefined before the first event and where nobody is at risk; exact binomial bounds replace it there.
    """
    if not observations:
        return Survival((), (), (), (), ())
    import numpy as np
    from scipy.stats import CensoredData, ecdf

    exact = np.array([o.size for o in observations if o.exact])
    beyond = np.array([o.size for o in observations if not o.exact])
    curve = ecdf(CensoredData(uncensored=exact, right=beyond)).sf
    with warnings.catch_warnings():  # it warns of the undefined ends that are filled in below
        warnings.simplefilter("ignore", RuntimeWarning)
        with np.errstate(all="ignore"):
            band = curve.confidence_interval(confidence_level=LEVEL, method="log-log")
    sizes, share = curve.quantiles, curve.probabilities
    at_risk = np.array([sum(o.size >= size for o in observations) for size in sizes])
    low, high = _with_ends(share, band.low.probabilities, band.high.probabilities, at_risk)
    return Survival(
        tuple(sizes.tolist()), tuple(share.tolist()), tuple(low.tolist()), tuple(high.tolist()), tuple(at_risk.tolist())
    )


def _with_ends(
    share: np.ndarray, low: np.ndarray, high: np.ndarray, at_risk: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The band with its undefined ends filled in: none or all of n images found, with 97.5 % on the open side."""
    import numpy as np

    bound = ((1 - LEVEL) / 2) ** (1 / at_risk)  # a share of survivors at which n of n survive once in forty times
    before = np.concatenate([[1.0], np.nan_to_num(high, nan=1.0)[:-1]])
    low = np.where(share >= 1, bound, np.where(share <= 0, 0.0, low))
    high = np.where(share >= 1, 1.0, np.where(share <= 0, before * (1 - bound), high))
    return low, high


def median_size(observations: Sequence[Observation]) -> Median | None:
    """Median of censored sizes, with the interval of Brookmeyer and Crowley (1982); None of no images.

    A median beyond all sizes tried has the value None: it is neither dropped nor zero.
    """
    if not observations:
        return None
    curve = survival(observations)
    return Median(
        value=_first_below(curve.sizes, curve.share),
        low=_first_below(curve.sizes, curve.low),
        high=_first_below(curve.sizes, curve.high),
        largest=max(o.size for o in observations),
        images=len(observations),
    )


def _first_below(sizes: Sequence[float], shares: Sequence[float]) -> float | None:
    half = 0.5 + 1e-12  # a product of fractions may miss one half by a rounding error
    return next((size for size, share in zip(sizes, shares, strict=True) if share <= half), None)


@dataclass(frozen=True)
class Ratio:
    """Ratio of the smallest sizes of two classifiers on shared images: second / first, 1 where they agree.

    `value`, `low` and `high` are None without pairs; infinite or 0 where most pairs have one side not found.
    """

    value: float | None
    low: float | None
    high: float | None
    pairs: int  # that the ratio is computed from
    above: int  # pairs in which the second needs the larger change
    below: int
    undecided: int  # pairs left out: censored so that the larger side is unknown
    p: float  # exact sign test of the hypothesis: as many above as below


def paired_ratio(pairs: Sequence[tuple[Observation, Observation]], draws: int = 4000, seed: int = 0) -> Ratio:
    """exp(median of log(second / first)), with a percentile bootstrap over the images.

    A pair of which one side was not found, though searched beyond the other's size, counts as an infinite (or zero)
    ratio. Pairs of which neither was found, or whose search ended too early to tell, are left out and counted.
    """
    logs = [log for first, second in pairs if (log := log_ratio(first, second)) is not None]
    undecided = len(pairs) - len(logs)
    if not logs:
        return Ratio(None, None, None, 0, 0, 0, undecided, 1.0)
    import numpy as np

    x = np.array(logs)
    chosen = np.random.default_rng(seed).integers(len(x), size=(draws, len(x)))
    medians = np.median(x[chosen], axis=1)
    low, high = np.quantile(medians, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    above, below = int((x > 0).sum()), int((x < 0).sum())
    return Ratio(
        value=_ratio(float(np.median(x))),
        low=_ratio(float(low)),
        high=_ratio(float(high)),
        pairs=len(x),
        above=above,
        below=below,
        undecided=undecided,
        p=_sign_test(below, above),
    )


BEYOND = 1e3  # stands for an infinite logarithm, since the mean of two infinite ones would be none


def log_ratio(first: Observation, second: Observation) -> float | None:
    """Logarithm of second / first; +-BEYOND where one was not found beyond the other's size, None if undecided."""
    if first.exact and second.exact:
        return math.log(max(second.size, 1e-12) / max(first.size, 1e-12))
    if first.exact and second.size >= first.size:
        return BEYOND
    if second.exact and first.size >= second.size:
        return -BEYOND
    return None


def _ratio(log: float) -> float:
    if abs(log) > BEYOND / 4:
        return math.inf if log > 0 else 0.0
    return math.exp(log)


def _sign_test(one: int, other: int) -> float:
    if one + other == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(one, one + other, 0.5).pvalue)


@dataclass(frozen=True)
class RateChange:
    """Difference of the found rates of two classifiers on shared images: second minus first, from -1 to 1."""

    pairs: int
    only_first: int  # images on which only the first was fooled
    only_second: int
    value: float
    low: float
    high: float
    p: float  # McNemar's exact test of the hypothesis: no difference


def paired_rates(first: Sequence[bool], second: Sequence[bool]) -> RateChange:
    """McNemar's exact test; the interval adds half an image to each cell (Agresti and Min 2005)."""
    n = len(first)
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    if n == 0:
        return RateChange(0, 0, 0, 0.0, -1.0, 1.0, 1.0)
    from scipy.stats import norm

    b, c, total = only_first + 0.5, only_second + 0.5, n + 2
    half = float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt(b + c - (c - b) ** 2 / total) / total
    middle = (c - b) / total
    return RateChange(
        pairs=n,
        only_first=only_first,
        only_second=only_second,
        value=(only_second - only_first) / n,
        low=max(-1.0, middle - half),
        high=min(1.0, middle + half),
        p=_sign_test(only_first, only_second),
    )


def sign_test_below(logs: Sequence[float], bound: float) -> float:
    """P-value of the hypothesis that the median of `logs` is at least `bound`: exact, one-sided sign test.

    It holds at any distribution: if the hypothesis is true, each value lies below the bound with a chance of at most
    one half.
    """
    if not logs:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(sum(log < bound for log in logs), len(logs), 0.5, alternative="greater").pvalue)


def rate_rise_test(only_first: int, only_second: int, pairs: int, margin: float) -> float:
    """P-value of the hypothesis that a paired rate rose by at most `margin`, in [0, 1): the score test of Tango (1998).

    `only_first` and `only_second` are the discordant pairs; the variance is estimated under the hypothesis.
    """
    if pairs == 0:
        return 1.0
    from scipy.stats import norm

    difference = only_second - only_first - pairs * margin
    a, b = 2 * pairs, -only_second - only_first + (2 * pairs - only_second + only_first) * margin
    c = -only_first * margin * (1 - margin)
    q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = pairs * (2 * q + margin * (1 - margin))
    if variance <= 0:
        return 1.0 if difference <= 0 else 0.0
    return float(norm.sf(difference / math.sqrt(variance)))


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted for multiple tests (Holm 1979), in the order given."""
    adjusted = [1.0] * len(p)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, p[index] * (len(p) - rank)))
        adjusted[index] = largest
    return adjusted
