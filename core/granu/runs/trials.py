"""A trial: the result for one image, one classifier and one perturbation. Reports read these and the records."""

from __future__ import annotations

import json
import math
import typing
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any

CLEAN_WRONG = "clean-wrong"  # misclassified before any change; recorded, and left out of rates
FOUND = "found"
NOT_FOUND = "not-found"  # censored at `tried`
FAILED = "failed"  # the search could not run, `note` says why; counts as not found
UNREADABLE = "unreadable"  # the image is broken; left out of rates
RECONSTRUCTION_WRONG = "reconstruction-wrong"  # misclassified once it was prepared or reconstructed; left out of rates
NOT_ENCODED = "not-encoded"  # no encoding or edit of the image, `note` says why; left out of rates
OUTCOMES = (CLEAN_WRONG, FOUND, NOT_FOUND, FAILED, UNREADABLE, RECONSTRUCTION_WRONG, NOT_ENCODED)

SOURCE, PREPARED, RECONSTRUCTION = "source", "prepared", "reconstruction"  # what an encoded image is before any edit
ARMS = (SOURCE, PREPARED, RECONSTRUCTION)
PSNR, SSIM = "reconstruction_psnr", "reconstruction_ssim"  # in `extra`: of the reconstruction and the prepared image

IMAGES = "images"  # the verdict is about changed images, quantized to 8 bits
CLASSIFIER = "classifier"  # the verdict is about a change inside the classifier: no image, no judges
EVIDENCE = (IMAGES, CLASSIFIER)


@dataclass(frozen=True)
class Trial:
    """One line of `trials.jsonl`. Sizes are in `unit`; `l2` to `features` compare the judged 8-bit image to the clean.

    The clean image of one that a generator encoded is the reconstruction, with `residual=yes` the prepared image; of
    one with `unchanged`, what the perturbation's model returns at that size when it is asked to change nothing.

    Where `evidence` is "classifier" nothing is known of a changed image: `l2` to `features` and `votes` are empty.
    """

    image: str
    perturbation: str
    classifier: str
    outcome: str
    image_hash: str | None = None  # of the clean image's pixels and class, where a dataset gave them
    evidence: str = IMAGES
    label: int | None = None
    clean_margin: float | None = None  # logit of the label minus the best other logit, on the clean image
    predicted: int | None = None  # the class given to the changed image
    margin: float | None = None  # the same margin on the changed image
    unit: str = ""
    size: float | None = None  # of the change that fooled
    tried: float | None = None  # the largest size that was tried
    l2: float | None = None
    linf: float | None = None
    ssim: float | None = None
    pixels: int | None = None  # positions that differ in any channel
    features: int | None = None  # values (channels of positions) that differ
    height: int | None = None  # of the changed image, before the classifier's own resizing
    width: int | None = None
    votes: dict[str, int] = field(default_factory=dict)  # judge -> the class it gives to the changed image
    levels: dict[str, int] = field(default_factory=dict)  # fixed size -> the class given to the image changed so much
    unchanged: dict[str, int] = field(default_factory=dict)  # the same where the perturbation's model changes nothing
    arms: dict[str, int] = field(default_factory=dict)  # of an encoded image: arm -> the class given without an edit
    control: bool | None = None  # whether a random change of the same size fooled too
    forward: int = 0
    backward: int = 0
    extra: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # what the perturbation says of the change, such as a prompt
    note: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """(classifier, perturbation, image): a run holds one trial of each."""
        return (self.classifier, self.perturbation, self.image)

    @property
    def counts(self) -> bool:
        """True if the trial enters the rates: the clean image was read and classified correctly."""
        return self.outcome in (FOUND, NOT_FOUND, FAILED)

    @property
    def confirmed(self) -> bool:
        """Found, and every judge still sees the label."""
        return self.outcome == FOUND and all(vote == self.label for vote in self.votes.values())

    def line(self) -> str:
        """The trial as a line of JSON, without unknown values."""
        data = {k: _finite(v) for k, v in asdict(self).items() if v not in (None, {}, "")}
        return json.dumps(data, separators=(",", ":"), allow_nan=False) + "\n"


def read_trial(line: str) -> Trial:
    """Parse and validate a line. Unknown keys are ignored, so that an older granu reads a newer one's lines.

    ValueError says which value is wrong.
    """
    data: Any = json.loads(line)
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")
    known = {f.name for f in fields(Trial)}
    values = {key: value for key, value in data.items() if key in known}
    if missing := [key for key in ("image", "perturbation", "classifier", "outcome") if key not in values]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    for key, value in values.items():
        _check(key, value)
    return Trial(**values)


NOT_NEGATIVE = {"size", "tried", "l2", "linf", "pixels", "features", "height", "width", "forward", "backward"}


def _check(key: str, value: Any) -> None:
    if not _fits(_hints()[key], value):
        raise ValueError(f"{key} cannot be {json.dumps(value)}")
    if key in NOT_NEGATIVE and value is not None and value < 0:
        raise ValueError(f"{key} cannot be negative ({value})")
    for name, allowed in (("outcome", OUTCOMES), ("evidence", EVIDENCE)):
        if key == name and value not in allowed:
            raise ValueError(f"{key} cannot be '{value}'; it is one of {', '.join(allowed)}")


@cache
def _hints() -> dict[str, Any]:
    return typing.get_type_hints(Trial)


def _fits(hint: Any, value: Any) -> bool:
    """Test that a JSON value is of the annotated type; numbers must be finite."""
    if typing.get_origin(hint) is dict:
        inner = typing.get_args(hint)[1]
        return isinstance(value, dict) and all(_fits(inner, item) for item in value.values())
    kinds = typing.get_args(hint) or (hint,)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, float):
        return float in kinds and math.isfinite(value)
    return isinstance(value, kinds) or (isinstance(value, int) and float in kinds)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
