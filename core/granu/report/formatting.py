"""Numbers as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from granu.report.statistics import Median, Rate, Ratio

NONE = "–"  # what is not known
FEW_PAIRS = 5


def number(value: float | None) -> str:
    """Three digits that count: 0.0123, 1.23, 12.3, 1230."""
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
    """In percent: `98 [95–99]`."""
    if rate is None or rate.total == 0:
        return NONE
    return f"{percent(rate.value)} [{percent(rate.low)}–{percent(rate.high)}]"


def size(median: Median | None) -> str:
    """`1.32 [1.20–1.41]`; `> 5.00` and `5.00+` where it is only known to lie beyond all sizes tried."""
    if median is None:
        return NONE
    value = f"> {number(median.largest)}" if median.value is None else number(median.value)
    if median.low is None:
        return value
    high = f"{number(median.largest)}+" if median.high is None else number(median.high)
    return f"{value} [{number(median.low)}–{high}]"


def count(value: float | None) -> str:
    """A number of things, or the middle between two."""
    return NONE if value is None else f"{value:.0f}"


def image_sizes(sizes: Sequence[tuple[int, int]]) -> str:
    """`224 x 224`, or the smallest and the largest: `60 x 80 to 375 x 500`."""
    ends = [sizes[0], sizes[-1]] if len(sizes) > 1 else sizes
    return " to ".join(f"{height} x {width}" for height, width in ends)


def ratio(ratio: Ratio) -> str:
    """`0.87 [0.80–0.95]`; from fewer than FEW_PAIRS images nothing is claimed."""
    if ratio.value is None or ratio.pairs < FEW_PAIRS:
        return NONE
    return f"{number(ratio.value)} [{number(ratio.low)}–{number(ratio.high)}]"


def probability(p: float) -> str:
    """A p-value; more digits would promise too much."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(part: float) -> str:
    """A share in percent; 99.8 is not message as 100."""
    whole = round(100 * part)
    return f"{100 * part:.1f}" if whole in (0, 100) and 0.0005 <= part < 0.9995 else str(whole)
