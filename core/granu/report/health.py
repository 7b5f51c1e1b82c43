"""Health checks of a run: signs that a number in the report needs attention before it is trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from granu.report.rows import Row

FAILED_SHARE = 0.05  # of searches that could not run
CLEAN_SHARE = 0.80  # of clean images classified correctly, below which the classifier hardly fits the images
ENCODED_SHARE = 0.80  # of correctly classified images whose reconstruction shows them and is classified correctly too
CONTROL_SHARE = 0.50  # of random changes that fool the classifier too
CONFIRMED_SHARE = 0.50  # of found images whose label every judge still sees
FEW = 20  # images
SHOWN = 3  # perturbations that a flag names; JSON and the page hold all


@dataclass(frozen=True)
class Flag:
    """One sign at one classifier, and the perturbations that show it, each with its numbers."""

    classifier: str
    sign: str
    where: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        distinct = dict.fromkeys(numbers for _, numbers in self.where)
        if len(self.where) > 1 and len(distinct) == 1:
            return f"{self.classifier}: {self.sign} ({next(iter(distinct))} at {len(self.where)} changes)"
        shown = ", ".join(f"{at} ({numbers})" for at, numbers in self.where[:SHOWN])
        more = f" and {len(self.where) - SHOWN} more" if len(self.where) > SHOWN else ""
        return f"{self.classifier}: {self.sign}: {shown}{more}"


def check(rows: Sequence[Row]) -> list[Flag]:
    """All signs of a run's rows, classifier by classifier."""
    flags = []
    for classifier in dict.fromkeys(row.classifier for row in rows):
        own = [row for row in rows if row.classifier == classifier]
        for sign, numbers_of in SIGNS:
            where = tuple((row.perturbation, numbers) for row in own if (numbers := numbers_of(row)))
            flags += [Flag(classifier, sign, where)] if where else []
    return flags


def _clean(row: Row) -> str | None:
    images = row.clean_right + row.clean_wrong
    weak = images and row.clean_right / images < CLEAN_SHARE
    return f"{row.clean_wrong} of {images}" if weak else None


def _encoded(row: Row) -> str | None:
    lost = row.reconstruction_wrong + row.not_encoded
    return f"{lost} of {row.clean_right}" if lost > (1 - ENCODED_SHARE) * row.clean_right else None


def _few(row: Row) -> str | None:
    return str(row.counted) if row.counted < FEW else None


def _failed(row: Row) -> str | None:
    if not row.counted or row.failed / row.counted <= FAILED_SHARE:
        return None
    return f"{row.failed} of {row.counted}, most often: {row.reasons[0][0]}"


def _nothing(row: Row) -> str | None:
    searched = row.counted > row.failed and not row.levels
    return f"0 of {row.counted}" if searched and not row.found.hits else None


def _control(row: Row) -> str | None:
    if row.control is None or row.control.value < CONTROL_SHARE:
        return None
    return f"{row.control.hits} of {row.control.total}"


def _confirmed(row: Row) -> str | None:
    if row.confirmed is None or not row.found.hits or row.confirmed.hits / row.found.hits >= CONFIRMED_SHARE:
        return None
    return f"{row.confirmed.hits} of {row.found.hits}"


SIGNS: tuple[tuple[str, Callable[[Row], str | None]], ...] = (
    ("many clean images are misclassified; check that classifier and images fit together", _clean),
    ("many images are lost by their encoding, so what is measured may not stand for all", _encoded),
    ("few images, so raise --count before concluding", _few),
    ("searches failed", _failed),
    ("nothing found; the search may be weak rather than the classifier robust", _nothing),
    ("random changes of the same size fool the classifier as well, so the search adds little", _control),
    ("the judges still see the label in fewer than half of what was found", _confirmed),
)
