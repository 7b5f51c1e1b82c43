"""Two classifiers on the images that both name right: paired rates and paired sizes, perturbation by perturbation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from granu.report import formatting
from granu.report.rows import budget_of, in_order, is_judged, observation
from granu.report.statistics import RateChange, Ratio, holm, paired_rates, paired_ratio, rate
from granu.runs.trials import FOUND, Trial

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """Second against first under one perturbation.

    `sizes` is None where a budget was spent; `confirmed` is over the pairs in which nothing that was found lost its
    label, and None where nobody judged. `rates_p` and `sizes_p` are adjusted for all tests of the table (Holm).
    """

    perturbation: str
    unit: str
    images: int  # that both name right
    left_out: int  # that one of the two names wrong, or that only one of them was asked about
    first_found: float
    second_found: float
    rates: RateChange
    sizes: Ratio | None
    confirmed: Ratio | None
    rates_p: float
    sizes_p: float


def compare(
    first: Iterable[Trial], second: Iterable[Trial], order: Sequence[str] = (), same_judges: bool = True
) -> list[Comparison]:
    """Compare where both were measured, in the run's order; what was measured for only one of them is left out.

    Without `same_judges` other judges voted on either side, so that what they confirmed cannot be compared.
    """
    cells_first, cells_second = _by_perturbation(first), _by_perturbation(second)
    shared = in_order((key for key in cells_first if key in cells_second), order)
    made = [_compare(key, cells_first[key], cells_second[key], same_judges) for key in shared]
    raw = [c.rates.p for c in made] + [c.sizes.p for c in made if c.sizes]
    adjusted = iter(holm(raw))
    rates_p = [next(adjusted) for _ in made]
    sizes_p = [next(adjusted) if c.sizes else 1.0 for c in made]
    return [replace(c, rates_p=p, sizes_p=q) for c, p, q in zip(made, rates_p, sizes_p, strict=True)]


def regressions(comparisons: Sequence[Comparison], percent: float) -> tuple[list[str], list[str]]:
    """What got worse by more than `percent`: (for certain, perhaps by chance), a sentence each.

    Worse is: found on that many more images of a hundred, or by sizes smaller by that many percent. It is
    certain where the test, adjusted for all others, gives p < 0.05.
    """
    certain: list[str] = []
    perhaps: list[str] = []
    for c in comparisons:
        if 100 * c.rates.value > percent:
            message = f"{c.perturbation}: found on {_points(100 * c.rates.value)} more images of a hundred"
            (certain if c.rates_p < ALPHA else perhaps).append(f"{message} (p {_p(c.rates_p)})")
        if c.sizes and c.sizes.value is not None and 100 * (1 - c.sizes.value) > percent:
            message = f"{c.perturbation}: sizes are smaller by {_points(100 * (1 - c.sizes.value))} %"
            (certain if c.sizes_p < ALPHA else perhaps).append(f"{message} (p {_p(c.sizes_p)})")
    return certain, perhaps


def unshared(first: Iterable[Trial], second: Iterable[Trial]) -> list[str]:
    """The perturbations that only one of the two was measured under."""
    return sorted({t.perturbation for t in first} ^ {t.perturbation for t in second})


def _by_perturbation(trials: Iterable[Trial]) -> dict[str, dict[str, Trial]]:
    table: dict[str, dict[str, Trial]] = {}
    for trial in trials:
        table.setdefault(trial.perturbation, {})[trial.image] = trial
    return table


def _compare(perturbation: str, first: dict[str, Trial], second: dict[str, Trial], same_judges: bool) -> Comparison:
    pairs = [(a, second[id_]) for id_, a in first.items() if id_ in second and a.counts and second[id_].counts]
    found_first = [a.outcome == FOUND for a, _ in pairs]
    found_second = [b.outcome == FOUND for _, b in pairs]
    sized = budget_of(perturbation) is None
    judged = sized and same_judges and is_judged(a for a, _ in pairs) and is_judged(b for _, b in pairs)
    kept = [(a, b) for a, b in pairs if _label_kept(a) and _label_kept(b)]
    return Comparison(
        perturbation=perturbation,
        unit=next((a.unit for a, _ in pairs if a.unit), ""),
        images=len(pairs),
        left_out=len({*first, *second}) - len(pairs),
        first_found=rate(sum(found_first), len(pairs)).value,
        second_found=rate(sum(found_second), len(pairs)).value,
        rates=paired_rates(found_first, found_second),
        sizes=paired_ratio([(observation(a), observation(b)) for a, b in pairs]) if sized else None,
        confirmed=paired_ratio([(observation(a), observation(b)) for a, b in kept]) if judged else None,
        rates_p=1.0,
        sizes_p=1.0,
    )


def _label_kept(trial: Trial) -> bool:
    return trial.outcome != FOUND or trial.confirmed


def _points(percent: float) -> str:
    return f"{percent:.1f}".removesuffix(".0")


def _p(p: float) -> str:
    message = formatting.probability(p)
    return message if message.startswith("<") else f"= {message}"
