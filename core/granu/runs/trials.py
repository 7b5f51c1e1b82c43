"""A trial: what came of one image, one classifier and one perturbation. Reports read these and nothing else."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

CLEAN_WRONG = "clean-wrong"  # named wrong before any change; recorded, and left out of rates
FOUND = "found"
NOT_FOUND = "not-found"  # censored at `tried`
FAILED = "failed"  # the search could not look, `note` says why; counts as not found
UNREADABLE = "unreadable"  # the image is broken; left out of rates


@dataclass(frozen=True)
class Trial:
    """One line of `trials.jsonl`. Sizes are in `unit`; `l2` to `features` are of the judged 8-bit images."""

    image: str
    perturbation: str
    classifier: str
    outcome: str
    label: int | None = None
    clean_margin: float | None = None  # logits by which the label led on the clean image
    predicted: int | None = None  # the class given to the changed image
    margin: float | None = None  # logits by which the label leads on the changed image
    unit: str = ""
    size: float | None = None  # of the change that fooled
    tried: float | None = None  # the largest size that was looked at
    l2: float | None = None
    linf: float | None = None
    ssim: float | None = None
    pixels: int | None = None  # places that differ in any channel
    features: int | None = None  # values, channels of places, that differ
    height: int | None = None  # of the image that was changed, before the classifier's own resizing
    width: int | None = None
    votes: dict[str, int] = field(default_factory=dict)  # judge -> the class it gives to the changed image
    control: bool | None = None  # whether a random change of the same size fooled too
    forward: int = 0
    backward: int = 0
    extra: dict[str, float] = field(default_factory=dict)
    note: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.classifier, self.perturbation, self.image)

    @property
    def counts(self) -> bool:
        """Whether the trial belongs to the rate: the clean image was read and named right."""
        return self.outcome in (FOUND, NOT_FOUND, FAILED)

    @property
    def confirmed(self) -> bool:
        """Found, and every judge still sees the label."""
        return self.outcome == FOUND and all(vote == self.label for vote in self.votes.values())

    def line(self) -> str:
        """The trial as a line of JSON, without what is not known."""
        data = {k: _finite(v) for k, v in asdict(self).items() if v not in (None, {}, "")}
        return json.dumps(data, separators=(",", ":"), allow_nan=False) + "\n"


def read_trial(line: str) -> Trial:
    """The other way round. Unknown keys are left out, so that an older granu reads a newer one's lines."""
    data: dict[str, Any] = json.loads(line)
    known = {f.name for f in fields(Trial)}
    return Trial(**{key: value for key, value in data.items() if key in known})


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
