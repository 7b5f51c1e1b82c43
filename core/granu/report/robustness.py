"""Robust accuracy over several attacks of given sizes: their union and mean (Laidlaw et al. 2021).

An image holds under an attack if it was classified correctly and no change within the size was found to fool. Images
that were misclassified before any change count as not holding. Attacks are paired image by image: only images that all
of them were run on count, so that the union is one of the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.report import formatting
from granu.report.statistics import Mean, mean
from granu.runs.trials import CLEAN_WRONG, FOUND, NOT_FOUND, Trial

if TYPE_CHECKING:
    from granu.report.rows import Row
    from granu.runs.run import Run

CONTROL = "random"  # the search that is no attack


def holds(trial: Trial) -> bool | None:
    """True if the image of a trial holds under the attack, None if the attack could not be run on it."""
    if trial.outcome in (CLEAN_WRONG, FOUND):
        return False
    return True if trial.outcome == NOT_FOUND else None


def robust_accuracy(trials: Sequence[Trial]) -> Mean:
    """The share of images that hold, of those that the attack was run on."""
    return mean([float(known) for trial in trials if (known := holds(trial)) is not None])


@dataclass(frozen=True)
class Robustness:
    """Robust accuracy of a classifier over several attacks on the same images.

    `left_out` images are those that some attack could not be run on; `left_out_fooled` of them were fooled by another.
    """

    classifier: str
    source: str  # of the images
    by_attack: Mapping[str, float]  # perturbation -> accuracy on the images that count
    union: Mean  # the share of images that hold under every attack
    mean: Mean  # over attacks
    left_out: int
    left_out_fooled: int

    def lines(self) -> list[str]:
        """A sentence on union and mean, and one on what is left out."""
        weakest = min(self.by_attack, key=lambda key: self.by_attack[key])
        said = [
            f"{self.classifier}: robust accuracy {formatting.mean_share(self.union)} % under the union of "
            f"{len(self.by_attack)} attacks, {formatting.mean_share(self.mean)} % in the mean over them, lowest "
            f"{formatting.decimals(self.by_attack[weakest])} % under {weakest} ({self.union.images} images, "
            "misclassified ones included)"
        ]
        if self.left_out:
            said.append(
                f"{self.classifier}: left out of these are {self.left_out} images that not every attack could be run "
                f"on; {self.left_out_fooled} of them were fooled by another attack or misclassified"
            )
        return said


def robustness(run: Run, rows: Sequence[Row]) -> list[Robustness]:
    """One for each classifier and source of images with attacks of given sizes in at least two spaces of changes."""
    trials: dict[tuple[str, str], dict[str, Trial]] = {}
    for trial in run.trials:
        trials.setdefault((trial.classifier, trial.perturbation), {})[trial.image] = trial
    return [
        made
        for (classifier, source), group in _attacks(run, rows).items()
        if (
            made := _over(classifier, source, {row.perturbation: trials[classifier, row.perturbation] for row in group})
        )
    ]


def _attacks(run: Run, rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    spaces: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        record = run.record.perturbations[row.perturbation]
        if record.budget is not None and record.search != CONTROL:
            key = row.classifier, record.source.spec
            groups.setdefault(key, []).append(row)
            spaces.setdefault(key, set()).add(f"{record.name}:{record.target} {sorted(record.options.items())}")
    return {key: group for key, group in groups.items() if len(spaces[key]) > 1}


def _over(classifier: str, source: str, attacks: Mapping[str, Mapping[str, Trial]]) -> Robustness | None:
    """The robustness over attacks' trials by image; None if no image was attacked by all."""
    known: dict[str, list[bool | None]] = {}
    for image in dict.fromkeys(image for trials in attacks.values() for image in trials):
        known[image] = [holds(trials[image]) if image in trials else None for trials in attacks.values()]
    shared = [[bool(one) for one in held] for held in known.values() if None not in held]
    partly = [held for held in known.values() if None in held]
    if not shared:
        return None
    return Robustness(
        classifier, source,
        by_attack={key: sum(held[i] for held in shared) / len(shared) for i, key in enumerate(attacks)},
        union=mean([float(all(held)) for held in shared]),
        mean=mean([sum(held) / len(held) for held in shared]),
        left_out=len(partly),
        left_out_fooled=sum(False in held for held in partly),
    )  # fmt: skip
