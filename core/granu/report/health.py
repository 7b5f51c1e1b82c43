"""Signs that a number of the report should not be believed before somebody has looked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from granu.report.rows import Row

FAILED_SHARE = 0.05  # of searches that could not look
CLEAN_SHARE = 0.80  # of clean pictures named right, below which the classifier hardly fits the pictures
CONTROL_SHARE = 0.50  # of random changes that fool too
CONFIRMED_SHARE = 0.50  # of found pictures whose label every judge still sees
FEW = 20  # pictures


@dataclass(frozen=True)
class Flag:
    """One sign, and the cell of the matrix where it shows; no perturbation means all of them."""

    classifier: str
    perturbation: str
    sign: str

    def __str__(self) -> str:
        return f"{' on '.join(filter(None, [self.perturbation, self.classifier]))}: {self.sign}"


def check(rows: Sequence[Row]) -> list[Flag]:
    """All signs; one that shows at every perturbation of a classifier is told once."""
    flags = []
    for classifier in dict.fromkeys(row.classifier for row in rows):
        own = [row for row in rows if row.classifier == classifier]
        for look in LOOKS:
            signs = {row.perturbation: sign for row in own if (sign := look(row))}
            if len(own) > 1 and len(signs) == len(own) and len(set(signs.values())) == 1:
                signs = {"": next(iter(signs.values()))}
            flags += [Flag(classifier, perturbation, sign) for perturbation, sign in signs.items()]
    return flags


def _clean(row: Row) -> str | None:
    looked_at = row.counted + row.clean_wrong
    if not looked_at or row.counted / looked_at >= CLEAN_SHARE:
        return None
    return f"{row.clean_wrong} of {looked_at} clean pictures are named wrong; do the two fit together?"


def _few(row: Row) -> str | None:
    if row.counted >= FEW:
        return None
    noun = "picture counts" if row.counted == 1 else "pictures count"
    return f"only {row.counted} {noun}; raise --count before drawing conclusions"


def _failed(row: Row) -> str | None:
    if not row.counted or row.failed / row.counted <= FAILED_SHARE:
        return None
    return f"{row.failed} of {row.counted} searches could not look: {row.reasons[0][0]}"


def _nothing(row: Row) -> str | None:
    if row.found.hits or not row.counted or row.failed == row.counted:
        return None
    return "nothing was found; a search that finds nothing may be a weak search and not a strong classifier"


def _control(row: Row) -> str | None:
    if row.control is None or row.control.value < CONTROL_SHARE:
        return None
    return f"random changes of the same size fool in {row.control.value:.0%} of cases; the search adds little"


def _confirmed(row: Row) -> str | None:
    if row.confirmed is None or not row.found.hits or row.confirmed.hits / row.found.hits >= CONFIRMED_SHARE:
        return None
    return (
        f"the judges still see the label in only {row.confirmed.hits} of {row.found.hits} found pictures; "
        "most may show another class by now"
    )


LOOKS: tuple[Callable[[Row], str | None], ...] = (_clean, _few, _failed, _nothing, _control, _confirmed)
