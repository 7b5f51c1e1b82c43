"""Decisions and findings of a hardening: one record per round, and the result, as plain data and as sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from granu.hardening.choice import is_above
from granu.report.formatting import number, ratio
from granu.report.relative import Cell, RelativeProfile
from granu.runs.run import Run


@dataclass(frozen=True)
class Interval:
    """A ratio of smallest sizes with its 95 % interval; infinite or 0 where most images have one side not found."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{number(self.value)} [{number(self.low)}, {number(self.high)}]"


@dataclass(frozen=True)
class Round:
    """One training: why this change, how it was trained, and what came out on images that it was not chosen by.

    `weakness` is classifier / reference before the round, `gain` after / before; accuracies are shares in [0, 1].
    """

    number: int
    change: str
    weakness: Interval
    budget: float | None  # None where the defense takes no size
    share: float  # of the reference's median size
    unit: str
    defense: str
    start: str
    file: str
    gain: Interval | None  # None where too few images are left to compare
    accuracy_before: float  # of the classifier that the hardening began with
    accuracy: float
    worse: tuple[str, ...]  # changes under which it is shown to be worse than before the round
    kept: bool
    because: str

    def choosing(self, reference: str) -> str:
        """The sentence before the training, in two lines."""
        share = "" if self.share == 1 else f"{self.share:g} times "
        size = f" ({share}the reference's median size, in {self.unit})" if self.budget else ""
        return (
            f"round {self.number}: weakest at {self.change}, where its sizes are {self.weakness} times those of "
            f"{reference}\n  training {self.start} with {self.defense}{size}"
        )

    def deciding(self) -> str:
        """The sentence after the training, in two lines or three."""
        gain = "too few images are left to compare" if self.gain is None else f"sizes {self.gain} times those before"
        lines = [
            f"{'kept' if self.kept else 'not kept'}, {self.because}: {gain}",
            f"clean accuracy {100 * self.accuracy_before:.1f} % at the start, {100 * self.accuracy:.1f} % now",
            *([f"worse at {', '.join(self.worse)}"] if self.worse else []),
        ]
        return "\n".join(f"  {line}" for line in lines)


@dataclass(frozen=True)
class HardenResult:
    """The result of a hardening.

    `profile` relates what was measured on the report's images to the classifier before: the classifier `after`, or
    `rejected` where nothing was kept, and the reference. `file` is None where nothing was kept.
    """

    folder: Path
    rounds: tuple[Round, ...]
    stopped: str
    file: Path | None
    run: Run
    profile: RelativeProfile

    @property
    def helped(self) -> bool:
        """True if a training was kept, and the report's images show a gain at a change that was trained against."""
        return any(is_above(one.sizes) for one in self._trained_against())

    def verdict(self) -> str:
        """The outcome in a sentence."""
        if self.file is None:
            return "nothing helped: no training was kept, and the classifier stays as it is"
        found = [f"{one.perturbation} {ratio(one.sizes)} times" for one in self._trained_against()]
        shown = f"on images used for nothing else, sizes against those before: {', '.join(found)}"
        return f"{'it helped' if self.helped else 'a gain is not confirmed'}; {shown}"

    def as_json(self) -> dict[str, Any]:
        """Decisions and findings as plain data; infinite ratios are the text "inf"."""
        return _finite({
            "rounds": rounds_as_json(self.rounds),
            "stopped": self.stopped,
            "kept": None if self.file is None else str(self.file),
            "helped": self.helped,
            "verdict": self.verdict(),
            "report": self.profile.to_dicts(),
        })  # fmt: skip

    def __repr__(self) -> str:
        return f"HardenResult({str(self.folder)!r}, rounds={len(self.rounds)}, kept={self.file is not None})"

    def _trained_against(self) -> list[Cell]:
        changes = {one.change for one in self.rounds if one.kept}
        return [cell for cell in self.profile.cells if cell.classifier == "after" and cell.perturbation in changes]


def rounds_as_json(rounds: Sequence[Round]) -> list[Any]:
    """Rounds as plain data."""
    return _finite([asdict(one) for one in rounds])


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return "inf" if isinstance(data, float) and math.isinf(data) else data
