"""Statistics against arithmetic by hand and against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from granu.report.statistics import Observation, holm, median_size, paired_rates, paired_ratio, rate, survival


def exact(*sizes: float) -> list[Observation]:
    return [Observation(size, True) for size in sizes]


def beyond(*sizes: float) -> list[Observation]:
    return [Observation(size, False) for size in sizes]


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (3, 10), (10, 10), (157, 200)])
def test_a_rate_has_wilsons_interval(hits: int, total: int) -> None:
    z = stats.norm.ppf(0.975)
    p = hits / total
    middle = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    got = rate(hits, total)
    assert (got.low, got.high) == pytest.approx((max(0, middle - half), min(1, middle + half)), abs=1e-12)
    assert got.value == p


def test_a_rate_of_nothing_spans_everything() -> None:
    nothing = rate(0, 0)
    assert (nothing.low, nothing.high) == (0, 1) and math.isnan(nothing.value)


def test_the_survival_curve_is_kaplan_and_meiers() -> None:
    """1, 2, 3, 3 and 5 found, one image searched up to 4 only: 5/6, 4/6, 2/6, and 0 after the last."""
    curve = survival([*exact(1, 2, 3, 3, 5), *beyond(4)])
    by_size = dict(zip(curve.sizes, curve.share, strict=True))
    assert by_size == pytest.approx({1: 5 / 6, 2: 4 / 6, 3: 2 / 6, 4: 2 / 6, 5: 0})
    assert dict(zip(curve.sizes, curve.at_risk, strict=True)) == {1: 6, 2: 5, 3: 4, 4: 2, 5: 1}


def test_the_band_is_greenwoods_on_the_log_log_scale() -> None:
    curve = survival([*exact(1, 2, 3, 3, 5), *beyond(4)])
    s, variance = 4 / 6, 1 / (6 * 5) + 1 / (5 * 4)  # at size 2
    half = stats.norm.ppf(0.975) * math.sqrt(variance) / abs(math.log(s))
    assert curve.low[1] == pytest.approx(s ** math.exp(half))
    assert curve.high[1] == pytest.approx(s ** math.exp(-half))


def test_the_band_is_defined_everywhere_and_contains_the_curve() -> None:
    observations = [*exact(1, 1, 2, 4, 4, 7), *beyond(0, 0.5, 3, 6)]
    curve = survival(observations)
    assert np.isfinite([curve.share, curve.low, curve.high]).all()
    assert all(low <= share <= high for low, share, high in zip(curve.low, curve.share, curve.high, strict=True))
    assert curve.share[-1] == 0 and curve.low[-1] == 0


def test_the_median_of_complete_sizes_is_the_middle_one() -> None:
    median = median_size(exact(5, 1, 4, 2, 3))
    assert median is not None and median.value == 3 and median.largest == 5 and median.images == 5


def test_a_censored_image_raises_the_median() -> None:
    """Dropping the image that held up to 10 would give 2."""
    median = median_size([*exact(1, 2, 3), *beyond(10, 10)])
    assert median is not None and median.value == 3


def test_a_median_beyond_all_sizes_has_no_value() -> None:
    median = median_size([*exact(1), *beyond(10, 10, 10)])
    assert median is not None and median.value is None and median.high is None and median.largest == 10


def test_without_finds_in_many_images_the_lower_bound_lies_beyond_too() -> None:
    many, few = median_size(beyond(*[5.0] * 20)), median_size(beyond(5.0, 5.0))
    assert many is not None and (many.value, many.low) == (None, None)
    assert few is not None and (few.value, few.low) == (None, 5.0)  # two images prove little


def test_a_search_that_tried_nothing_does_not_affect_the_median() -> None:
    found = exact(1, 2, 3, 4, 5)
    with_failures, without = median_size([*found, *beyond(0, 0, 0)]), median_size(found)
    assert with_failures is not None and without is not None and with_failures.value == without.value


def test_the_medians_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    truth, covered, tries = math.log(2), 0, 400
    for _ in range(tries):
        sizes, limits = random.exponential(size=50), random.uniform(0.5, 3, size=50)
        observations = [Observation(min(s, t), bool(s <= t)) for s, t in zip(sizes, limits, strict=True)]
        median = median_size(observations)
        assert median is not None
        covered += (median.low or math.inf) <= truth <= (median.high or math.inf)
    assert 0.92 <= covered / tries <= 0.99


def test_no_images_have_no_median() -> None:
    assert median_size([]) is None and survival([]).sizes == ()


def test_the_ratio_is_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    ratio = paired_ratio(list(zip(exact(1, 2, 8), exact(2, 6, 8), strict=True)))
    assert ratio.value == pytest.approx(2) and ratio.pairs == 3 and (ratio.above, ratio.below) == (2, 0)


def test_the_ratio_inverts_when_the_classifiers_are_swapped() -> None:
    random = np.random.default_rng(1)
    first, second = exact(*random.exponential(size=31)), exact(*random.exponential(size=31))
    there = paired_ratio(list(zip(first, second, strict=True)))
    back = paired_ratio(list(zip(second, first, strict=True)))
    assert there.value is not None and back.value == pytest.approx(1 / there.value)
    assert there.low is not None and back.high == pytest.approx(1 / there.low, rel=0.1)
    assert there.p == back.p


def test_a_pair_with_one_side_not_found_counts_as_infinite() -> None:
    pairs = [(exact(1)[0], beyond(9)[0]), (exact(1)[0], exact(2)[0]), (exact(1)[0], exact(0.5)[0])]
    ratio = paired_ratio(pairs)
    assert ratio.value == pytest.approx(2) and (ratio.above, ratio.below, ratio.undecided) == (2, 1, 0)


def test_the_ratio_is_infinite_if_most_pairs_are() -> None:
    held = [(exact(1)[0], beyond(9)[0])] * 4
    assert paired_ratio(held).value == math.inf
    assert paired_ratio([(b, a) for a, b in held]).value == 0


def test_undecided_pairs_are_left_out_and_counted() -> None:
    pairs = [(beyond(5)[0], beyond(5)[0]), (exact(3)[0], beyond(2)[0]), (exact(1)[0], exact(4)[0])]
    ratio = paired_ratio(pairs)
    assert (ratio.pairs, ratio.undecided, ratio.value) == (1, 2, pytest.approx(4))


def test_the_ratios_interval_is_the_same_every_time_and_contains_the_truth() -> None:
    random = np.random.default_rng(2)
    a = random.lognormal(0, 1, size=200)
    b = a * random.lognormal(math.log(1.5), 0.3, size=200)
    pairs = list(zip(exact(*a), exact(*b), strict=True))
    ratio = paired_ratio(pairs)
    assert ratio == paired_ratio(pairs)
    assert ratio.low is not None and ratio.high is not None and 1.3 < ratio.low < 1.5 < ratio.high < 1.7
    assert ratio.p < 1e-6


def test_no_pairs_have_no_ratio() -> None:
    assert paired_ratio([]).value is None and paired_ratio([]).p == 1


def test_mcnemar_counts_the_images_on_which_the_two_differ() -> None:
    """7 against 1 of 8: two-sided, 2 * (1 + 8) / 2^8."""
    first = [True] * 5 + [True] * 1 + [False] * 7 + [False] * 7
    second = [True] * 5 + [False] * 1 + [True] * 7 + [False] * 7
    change = paired_rates(first, second)
    assert (change.only_first, change.only_second) == (1, 7)
    assert change.p == pytest.approx(2 * 9 / 256) and change.value == pytest.approx(6 / 20)
    assert change.low < change.value < change.high


def test_equal_rates_do_not_differ() -> None:
    same = paired_rates([True, False] * 50, [True, False] * 50)
    assert same.p == 1 and same.value == 0 and same.low < 0 < same.high
    assert paired_rates([], []).p == 1


def test_holm_multiplies_the_smallest_by_the_number_of_tests() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1, 1] and holm([]) == []
