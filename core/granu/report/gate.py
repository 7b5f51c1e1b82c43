"""The gate of `granu compare --fail-if-worse`: has the second classifier become worse by more than a margin?

Every question is tested against the margin, not against "no difference": a change inside the margin, however certain,
passes. Holm's correction over all tests bounds the chance that any allowed change fails by 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from granu.report import formatting
from granu.report.comparison import counted_pairs, shared_images
from granu.report.pairing import MeasuredClassifier, shared_perturbations
from granu.report.rows import observation
from granu.report.statistics import holm, log_ratio, rate_rise_test, sign_test_below
from granu.runs.trials import CLEAN_WRONG, FAILED, FOUND, UNREADABLE, Trial

ALPHA = 0.05
POWER = 0.8
FAILED_SHARE = 0.05  # of the second's searches that may fail to run


@dataclass(frozen=True)
class GateTest:
    """One question to the data: a worsening, how large it looks, and how sure it is that it exceeds the margin."""

    subject: str
    sentence: str
    p: float  # of the hypothesis that it is at most the margin; adjusted by `judge` for all tests


@dataclass(frozen=True)
class GateCase:
    """The part of a verdict on one subject: a change, or the clean accuracy on a source of images."""

    subject: str
    reasons: tuple[str, ...]  # why it fails, sentences

    @property
    def passed(self) -> bool:
        """True if there is no reason to fail."""
        return not self.reasons


@dataclass(frozen=True)
class Verdict:
    """The gate's answer: a case for each source and each change; and what it could have noticed."""

    margin: float  # percent
    cases: tuple[GateCase, ...]
    notes: tuple[str, ...]
    tests: int

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences, one for each reason to fail."""
        return tuple(reason for case in self.cases for reason in case.reasons)

    @property
    def passed(self) -> bool:
        """True if there is no reason to fail."""
        return not self.reasons

    def as_dict(self) -> dict[str, object]:
        """The verdict for machines."""
        return {
            "passed": self.passed,
            "margin_percent": self.margin,
            "tests": self.tests,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The verdict as `granu compare` prints it."""
        margin = _percent(self.margin)
        if self.passed:
            head = f"gate: passed; none of {self.tests} tests shows a worsening by more than {margin} (p < 0.05, Holm)"
        else:
            head = f"gate: failed; the second is worse by more than {margin}, or cannot be judged:"
        return [head, *(f"  {reason}" for reason in self.reasons), *(f"note: {note}" for note in self.notes)]


def gate(first: MeasuredClassifier, second: MeasuredClassifier, margin: float) -> Verdict:
    """Test whether the second is worse than the first by more than `margin` percent, under any shared perturbation.

    Worse means: fooled on that many more images of a hundred, by sizes smaller by that many percent, or wrong on that
    many more clean images of a hundred. Searches of the second that could not run, and too few images for any test to
    show a worsening, fail as well: they must not pass for robustness.
    """
    keys = shared_perturbations(first, second)
    by_source = {first.run.record.perturbations[key].source.spec: key for key in reversed(keys)}
    tests = [_accuracy_test(source, key, first, second, margin / 100) for source, key in by_source.items()]
    tests += [test for key in keys for test in _tests(key, first, second, margin / 100)]
    reasons: dict[str, list[str]] = {subject: [] for subject in (*(test.subject for test in tests), *keys)}
    for test, p in zip(tests, holm([test.p for test in tests]), strict=True):
        if p < ALPHA:
            reasons[test.subject].append(f"{test.sentence} (p {_p(p)})")
    for key in keys:
        reasons[key] += _unmeasured(key, first, second, len(tests))
    cases = tuple(GateCase(subject, tuple(why)) for subject, why in reasons.items())
    return Verdict(margin, cases, tuple(_power(keys, first, second, margin / 100, len(tests))), len(tests))


def _tests(
    perturbation: str, first: MeasuredClassifier, second: MeasuredClassifier, margin: float
) -> Iterator[GateTest]:
    pairs = counted_pairs(perturbation, first, second)
    yield _rise(perturbation, f"{perturbation}: found on", pairs, FOUND, margin)
    if first.run.record.perturbations[perturbation].budget is None:
        logs = _logs(pairs)
        smaller = 1 - math.exp(min(median(logs), 0.0)) if logs else 0.0
        yield GateTest(
            perturbation,
            f"{perturbation}: sizes are smaller by {_percent(100 * smaller)}",
            sign_test_below(logs, math.log1p(-margin)),
        )


def _accuracy_test(
    source: str, perturbation: str, first: MeasuredClassifier, second: MeasuredClassifier, margin: float
) -> GateTest:
    """The test of the clean accuracy on a source's images, as they were measured under one perturbation."""
    readable = [
        (a, b) for a, b in shared_images(perturbation, first, second) if UNREADABLE not in (a.outcome, b.outcome)
    ]
    what = f"{source}: misclassified without any change on"
    return _rise(f"clean accuracy on {source}", what, readable, CLEAN_WRONG, margin)


def _rise(subject: str, what: str, pairs: Sequence[tuple[Trial, Trial]], outcome: str, margin: float) -> GateTest:
    """The test of a rate of `outcome` that rose."""
    only_first = sum(a.outcome == outcome != b.outcome for a, b in pairs)
    only_second = sum(b.outcome == outcome != a.outcome for a, b in pairs)
    rise = (only_second - only_first) / len(pairs) if pairs else 0.0
    return GateTest(
        subject,
        f"{what} {_points(100 * rise)} more images of a hundred",
        rate_rise_test(only_first, only_second, len(pairs), margin),
    )


def _logs(pairs: Sequence[tuple[Trial, Trial]]) -> list[float]:
    """Logarithms of the ratios of sizes; searches that could not run say nothing about sizes."""
    ran = [(a, b) for a, b in pairs if FAILED not in (a.outcome, b.outcome)]
    return [log for a, b in ran if (log := log_ratio(observation(a), observation(b))) is not None]


def _unmeasured(perturbation: str, first: MeasuredClassifier, second: MeasuredClassifier, tests: int) -> Iterator[str]:
    pairs = counted_pairs(perturbation, first, second)
    failed = sum(b.outcome == FAILED for _, b in pairs)
    if pairs and failed / len(pairs) > FAILED_SHARE:
        yield f"{perturbation}: {failed} of {len(pairs)} searches of the second could not run"
    least = math.ceil(math.log2(tests / ALPHA))  # pairs that all point one way, after Holm
    if len(pairs) < least:
        yield f"{perturbation}: both classify {len(pairs)} images correctly; a verdict needs at least {least}"
    for failure in second.run.record.failures:
        if (failure.classifier, failure.perturbation) == (second.name, perturbation):
            yield f"{perturbation}: {failure.images} images of the second could not be measured ({failure.reason})"


def _power(
    keys: Sequence[str], first: MeasuredClassifier, second: MeasuredClassifier, margin: float, tests: int
) -> Iterator[str]:
    """Notes on the power of the test: the images needed to notice a worsening by twice the margin."""
    needed = [
        (_needed(logs, margin, tests), len(logs), key)
        for key in keys
        if first.run.record.perturbations[key].budget is None and (logs := _logs(counted_pairs(key, first, second)))
    ]
    short = [(most, have, key) for most, have, key in needed if most > have]
    if short:
        most, have, key = max(short)
        yield (
            f"to notice sizes smaller by {_percent(200 * margin)} with a chance of {POWER:.0%}, {key} needs about "
            f"{formatting.number(most)} images and has {have}; raise --count"
        )


def _needed(logs: Sequence[float], margin: float, tests: int) -> float:
    """Images that the sign test needs to reject at a true median of twice the margin, with these ratios' spread."""
    from scipy.stats import norm  # type: ignore[import-untyped]

    middle, wanted, bound = median(logs), math.log1p(-min(2 * margin, 0.99)), math.log1p(-margin)
    below = sum(log - middle + wanted < bound for log in logs) / len(logs)
    below = min(max(below, 0.5 + 0.5 / len(logs)), 1 - 0.5 / len(logs))
    spread = float(norm.isf(ALPHA / tests)) * 0.5 + float(norm.ppf(POWER)) * math.sqrt(below * (1 - below))
    return math.ceil((spread / (below - 0.5)) ** 2)


def _points(percent: float) -> str:
    return f"{percent:.1f}".removesuffix(".0")


def _percent(percent: float) -> str:
    return f"{_points(percent)} %"


def _p(p: float) -> str:
    text = formatting.probability(p)
    return text if text.startswith("<") else f"= {text}"
