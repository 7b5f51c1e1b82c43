"""Formatting of numbers for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from granu.report.median_ratio import MedianRatio
from granu.report.statistics import Mean, Median, Rate, Ratio

NONE = "–"  # an unknown value
FEW_PAIRS = 5


def number(value: float | None) -> str:
    """A number with three significant digits: 0.0123, 1.23, 12.3, 1230."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    value = float(f"{value:.2e}")
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def share(rate: Rate | None) -> str:
    """A rate with its interval, in percent: `98 [95–99]`."""
    if rate is None or rate.total == 0:
        return NONE
    return f"{percent(rate.value)} [{percent(rate.low)}–{percent(rate.high)}]"


def mean_share(mean: Mean | None) -> str:
    """A mean of shares with its interval, in percent: `61.2 [57.9–64.4]`."""
    if mean is None or math.isnan(mean.value):
        return NONE
    return f"{decimals(mean.value)} [{decimals(mean.low)}–{decimals(mean.high)}]"


def decimals(part: float) -> str:
    """A share in percent with one decimal: `61.2`."""
    return f"{100 * part:.1f}"


def listed(words: Sequence[str]) -> str:
    """`1`, `1 and 3`, `1, 3 and 5`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def size(median: Median | None) -> str:
    """A median with its interval: `1.32 [1.20–1.41]`; `> 5.00` and `5.00+` where it lies beyond all sizes tried."""
    if median is None:
        return NONE
    value = f"> {number(median.largest)}" if median.value is None else number(median.value)
    if median.low is None:
        return value
    high = f"{number(median.largest)}+" if median.high is None else number(median.high)
    return f"{value} [{number(median.low)}–{high}]"


def count(value: float | None) -> str:
    """A median of counts, rounded to a whole number."""
    return NONE if value is None else f"{value:.0f}"


def image_sizes(sizes: Sequence[tuple[int, int]]) -> str:
    """Heights and widths: `224 x 224`, or the smallest and the largest, `60 x 80 to 375 x 500`."""
    ends = [sizes[0], sizes[-1]] if len(sizes) > 1 else sizes
    return " to ".join(f"{height} x {width}" for height, width in ends)


def ratio(ratio: Ratio) -> str:
    """A ratio with its interval: `0.87 [0.80–0.95]`; `–` for fewer than FEW_PAIRS pairs."""
    if ratio.value is None or ratio.pairs < FEW_PAIRS:
        return NONE
    return f"{number(ratio.value)} [{number(ratio.low)}–{number(ratio.high)}]"


def median_ratio(ratio: MedianRatio | None) -> str:
    """A ratio of medians with its interval: `1.68 [1.21–2.30]`; `> 2.10 [1.50–∞]` where one lies beyond sizes tried."""
    if ratio is None or ratio.images < FEW_PAIRS:
        return NONE
    interval = f"[{number(ratio.low)}–{number(ratio.high)}]"
    if ratio.value is None or (ratio.bound is None and not 0 < ratio.value < math.inf):
        return f"{NONE} {interval}"
    sign = "" if ratio.bound is None else "> " if ratio.value else "< "
    return f"{sign}{number(ratio.value if ratio.bound is None else ratio.bound)} {interval}"


def probability(p: float) -> str:
    """A p-value with three decimals: `0.012`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(part: float) -> str:
    """A share in percent, whole numbers; one decimal where rounding would give 0 or 100: `99.8`."""
    whole = round(100 * part)
    return f"{100 * part:.1f}" if whole in (0, 100) and 0.0005 <= part < 0.9995 else str(whole)
