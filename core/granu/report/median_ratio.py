"""The ratio of two median sizes on shared images, of which many may be censored: pure arithmetic, without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.report.statistics import LEVEL, Observation, median_size

if TYPE_CHECKING:
    import numpy as np

Pair = tuple[Observation, Observation]


@dataclass(frozen=True)
class MedianRatio:
    """Median size of the second over that of the first, 1 where they agree, with a 95 % interval.

    `value` is infinite where the second's median lies beyond all sizes tried, 0 where the first's does, and None where
    both do; `bound` then is the ratio with the largest size tried in place of the median that is not known. The ends of
    the interval are infinite or 0 in the same way.
    """

    value: float | None
    low: float
    high: float
    bound: float | None
    images: int


def median_ratio(pairs: Sequence[Pair], draws: int = 2000, seed: int = 0) -> MedianRatio | None:
    """Ratio of Kaplan-Meier medians, second / first, with a percentile bootstrap over the images; None of no images.

    Unlike the median of the images' own ratios it needs no image on which both sizes are known: where judges reject
    what was found, its size is censored, and an image stays in. Images are drawn in pairs, so that what makes an image
    easy for both cancels.
    """
    if not pairs:
        return None
    import numpy as np

    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    weights = np.random.default_rng(seed).multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), size=draws)
    one, two = _medians(first, weights), _medians(second, weights)
    known, both = np.isfinite(one) & np.isfinite(two), np.isinf(one) & np.isinf(two)
    ratios = np.where(np.isinf(one), 0.0, np.inf)
    ratios[known] = two[known] / one[known]
    # a draw in which neither median is known might be anything: it counts for the end that it would move outwards
    low = float(np.quantile(np.where(both, 0.0, ratios), (1 - LEVEL) / 2, method="lower"))
    high = float(np.quantile(np.where(both, np.inf, ratios), (1 + LEVEL) / 2, method="higher"))
    value, bound = _value(first, second)
    return MedianRatio(value, low, high, bound, len(pairs))


def _value(first: Sequence[Observation], second: Sequence[Observation]) -> tuple[float | None, float | None]:
    """The ratio of the medians, and its bound where one of them is not known."""
    one, two = median_size(first), median_size(second)
    assert one is not None and two is not None  # there are images
    if one.value and two.value:
        return two.value / one.value, None
    if one.value:
        return math.inf, two.largest / one.value
    if two.value:
        return 0.0, two.value / one.largest if one.largest else None
    return None, None


def _medians(observations: Sequence[Observation], weights: np.ndarray) -> np.ndarray:
    """The Kaplan-Meier median of each bootstrap sample, (draws,), infinite beyond all sizes tried.

    `weights` (draws, n) says how often each observation is drawn.
    """
    import numpy as np

    # at equal sizes what was found comes before what was censored, as the estimator is defined
    order = sorted(range(len(observations)), key=lambda i: (observations[i].size, not observations[i].exact))
    sizes = np.array([observations[i].size for i in order])
    exact = np.array([observations[i].exact for i in order])
    drawn = weights[:, order]
    at_risk = drawn[:, ::-1].cumsum(axis=1)[:, ::-1]
    share = np.cumprod(1 - drawn * exact / np.maximum(at_risk, 1), axis=1)
    below = share <= 0.5 + 1e-12
    return np.where(below.any(axis=1), sizes[below.argmax(axis=1)], np.inf)
