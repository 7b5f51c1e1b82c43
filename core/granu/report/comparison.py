"""Two classifiers on the images that both classify correctly: paired rates and paired sizes, per perturbation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from granu.report.pairing import MeasuredClassifier, shared_perturbations
from granu.report.rows import observation, without_repeats
from granu.report.statistics import RateChange, Ratio, holm, paired_rates, paired_ratio, rate
from granu.runs.trials import CLASSIFIER, FOUND, Trial

Value = str | int | float | None


@dataclass(frozen=True)
class Comparison:
    """Second against first under one perturbation.

    `sizes` is None where a budget was spent. `confirmed` is the ratio over the pairs in which every judge sees the
    label in all that was found; None without judges, or where the judges of the two differ. `rates_p` and `sizes_p`
    are adjusted for all tests of the table (Holm).
    """

    perturbation: str
    unit: str
    images: int  # that both classify correctly
    left_out: int  # that one of the two misclassifies, or that only one of them was measured on
    first_found: float  # share of `images`; NaN of none
    second_found: float
    rates: RateChange
    sizes: Ratio | None
    confirmed: Ratio | None
    same_judges: bool
    rates_p: float = 1.0
    sizes_p: float = 1.0

    def as_dict(self) -> dict[str, Value]:
        """A flat record, numbers at full precision; a ratio is infinite or 0 if most pairs have one side not found."""
        return {
            "perturbation": self.perturbation,
            "unit": self.unit,
            "images": self.images,
            "left_out": self.left_out,
            "first_found": None if math.isnan(self.first_found) else self.first_found,
            "second_found": None if math.isnan(self.second_found) else self.second_found,
            "difference": self.rates.value,
            "difference_low": self.rates.low,
            "difference_high": self.rates.high,
            "difference_p": self.rates_p,
            "only_first": self.rates.only_first,
            "only_second": self.rates.only_second,
            **_ratio("ratio", self.sizes),
            "ratio_p": self.sizes_p if self.sizes else None,
            **_ratio("confirmed_ratio", self.confirmed),
        }


def compare(first: MeasuredClassifier, second: MeasuredClassifier) -> list[Comparison]:
    """Compare under the perturbations that both were measured under, in the order of the first run's records."""
    made = [_compare(key, first, second) for key in shared_perturbations(first, second)]
    raw = [c.rates.p for c in made] + [c.sizes.p for c in made if c.sizes]
    adjusted = iter(holm(raw))
    rates_p = [next(adjusted) for _ in made]
    sizes_p = [next(adjusted) if c.sizes else 1.0 for c in made]
    return [replace(c, rates_p=p, sizes_p=q) for c, p, q in zip(made, rates_p, sizes_p, strict=True)]


def unshared(first: MeasuredClassifier, second: MeasuredClassifier) -> list[str]:
    """The perturbations that only one of the two was measured under."""
    return sorted(set(first.perturbations) ^ set(second.perturbations))


def shared_images(
    perturbation: str, first: MeasuredClassifier, second: MeasuredClassifier
) -> list[tuple[Trial, Trial]]:
    """The trials of the images on which both were measured, in the images' order."""
    ours, theirs = (_by_image(side, perturbation) for side in (first, second))
    return [(trial, theirs[image]) for image, trial in ours.items() if image in theirs]


def counted_pairs(
    perturbation: str, first: MeasuredClassifier, second: MeasuredClassifier
) -> list[tuple[Trial, Trial]]:
    """Those of the shared images that both classify correctly."""
    return [(a, b) for a, b in shared_images(perturbation, first, second) if a.counts and b.counts]


def _compare(perturbation: str, first: MeasuredClassifier, second: MeasuredClassifier) -> Comparison:
    measured = {image for side in (first, second) for image in _by_image(side, perturbation)}
    pairs = counted_pairs(perturbation, first, second)
    found_first = [a.outcome == FOUND for a, _ in pairs]
    found_second = [b.outcome == FOUND for _, b in pairs]
    sized = first.run.record.perturbations[perturbation].budget is None
    same_judges = first.judges(perturbation) == second.judges(perturbation)
    has_images = not any(trial.evidence == CLASSIFIER for pair in pairs for trial in pair)
    judged = sized and has_images and same_judges and bool(first.judges(perturbation))
    kept = [(a, b) for a, b in pairs if _label_kept(a) and _label_kept(b)]
    return Comparison(
        perturbation=perturbation,
        unit=next((a.unit for a, _ in pairs if a.unit), ""),
        images=len(pairs),
        left_out=len(measured) - len(pairs),
        first_found=rate(sum(found_first), len(pairs)).value,
        second_found=rate(sum(found_second), len(pairs)).value,
        rates=paired_rates(found_first, found_second),
        sizes=paired_ratio([(observation(a), observation(b)) for a, b in pairs]) if sized else None,
        confirmed=paired_ratio([(observation(a), observation(b)) for a, b in kept]) if judged else None,
        same_judges=same_judges,
    )


def _by_image(measured: MeasuredClassifier, perturbation: str) -> dict[str, Trial]:
    own = [trial for trial in measured.trials if trial.perturbation == perturbation]
    return {trial.image: trial for trial in without_repeats(own)}


def _label_kept(trial: Trial) -> bool:
    return trial.outcome != FOUND or trial.confirmed


def _ratio(name: str, ratio: Ratio | None) -> dict[str, Value]:
    return {
        name: ratio.value if ratio else None,
        f"{name}_low": ratio.low if ratio else None,
        f"{name}_high": ratio.high if ratio else None,
        f"{name}_pairs": ratio.pairs if ratio else None,
        f"{name}_above": ratio.above if ratio else None,
        f"{name}_below": ratio.below if ratio else None,
        f"{name}_undecided": ratio.undecided if ratio else None,
    }
