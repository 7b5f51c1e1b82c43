"""The core's own verdict on what a plugin proposes: is the classifier fooled, and is the label preserved?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from granu.errors import ClassifierError
from granu.images.ops import quantize
from granu.runs.problems import first_line, is_out_of_memory
from granu.runs.sources import few, names_of, numbers_by_name
from granu.search.guides import Guide
from granu.types import Classifier, ClassifierEvidence, Criterion, Evidence, ImageEvidence


@dataclass(frozen=True)
class Verdict:
    """A classifier's answer to a batch."""

    logits: Tensor  # (B, K), finite

    @property
    def predicted(self) -> Tensor:
        """The class with the largest logit, (B,) int64."""
        return self.logits.argmax(dim=1)

    def margin(self, labels: Tensor) -> Tensor:
        """Logit of the label minus the best other logit, (B,); negative where another class leads."""
        return Criterion(labels).objective(self.logits)


def classify(classifier: Classifier, images: Tensor, name: str, prepared: str = "") -> Verdict:
    """Classify 8-bit images in float32. ClassifierError where it fails on them, or the logits are not finite.

    `prepared` says in the message by what the images were given their shape.
    """
    try:
        logits = _logits(classifier, images)
    except RuntimeError as problem:  # torch's for a shape that a layer does not take
        if is_out_of_memory(problem):
            raise
        raise fails_on(name, images, problem, prepared) from problem
    if not logits.isfinite().all():
        raise _not_finite(name)
    return Verdict(logits)


@dataclass(frozen=True)
class Judged:
    """Evidence as the core judged it: `images` is None for a change inside the classifier.

    Where `unusable`, the evidence of an image or the classifier's answer to it is not finite; the clean image and
    logits of zero stand in for them.
    """

    verdict: Verdict
    images: Tensor | None  # (B, C, H, W), quantized to 8 bits
    unusable: Tensor  # (B,) bool


def judge(evidence: Evidence, classifier: Classifier, like: Tensor, name: str) -> Judged:
    """Judge evidence for a batch of clean images `like` (B, C, H, W). A plugin's own claim is never used.

    ValueError where the evidence has another shape than an image, or a row of logits, for each clean image, or none of
    it is finite; ClassifierError where the classifier gives finite logits for none of the images.
    """
    if isinstance(evidence, ImageEvidence):
        images = evidence.images.detach().float()
        if images.shape != like.shape or not (finite := _finite_rows(images)).any():
            raise ValueError(f"it returned images of shape {tuple(images.shape)}, or images that are not finite")
        images = quantize(torch.where(finite.view(-1, 1, 1, 1), images, like))
        logits = _logits(classifier, images)
        answered = _finite_rows(logits)
        if not answered.any():
            raise _not_finite(name)
        return Judged(Verdict(logits.masked_fill(~answered[:, None], 0)), images, ~(finite & answered))
    assert isinstance(evidence, ClassifierEvidence)
    with torch.no_grad():
        logits = evidence.logits_at().float()
    if logits.shape != (len(like), len(classifier.classes)) or not (finite := _finite_rows(logits)).any():
        raise ValueError(f"it returned logits of shape {tuple(logits.shape)}, or logits that are not finite")
    return Judged(Verdict(logits.masked_fill(~finite[:, None], 0)), None, ~finite)


def fails_on(name: str, images: Tensor, problem: RuntimeError, prepared: str = "") -> ClassifierError:
    """The error for a classifier that raises instead of answering to images (B, C, H, W)."""
    shape = " x ".join(map(str, images.shape[1:]))
    return ClassifierError(
        f"'{name}' fails on images of {shape}{prepared} ({first_line(problem)}); if it takes another size, name it so "
        "that images are resized: size= of its spec, or in Python granu.ImageClassifier(model, classes, size=...)"
    )


def _logits(classifier: Classifier, images: Tensor) -> Tensor:
    with torch.no_grad():
        return classifier(images).float()


def _finite_rows(values: Tensor) -> Tensor:
    return values.isfinite().flatten(1).all(dim=1)


def _not_finite(name: str) -> ClassifierError:
    return ClassifierError(
        f"'{name}' gives NaN or infinite logits for images in [0, 1]; check its weights and its mean= and std="
    )


@dataclass(frozen=True)
class JudgedLevels:
    """A change at fixed sizes as the core judged it: the smallest that fools, otherwise the largest."""

    judged: Judged
    size: Tensor  # (B,)
    predicted: Mapping[float, Tensor]  # size -> (B,) int64, -1 where the level is unusable


def judge_levels(
    levels: Mapping[float, Evidence],
    classifier: Classifier,
    like: Tensor,
    labels: Tensor,
    name: str,
    last: Tensor | None = None,
) -> JudgedLevels:
    """Judge the evidence at each size, as `judge` does; `labels` (B,).

    `last` (B,) int64 is the position, among the sizes in order, of the largest that counts for an image.
    """
    sizes = sorted(levels)
    last = torch.full_like(labels, len(sizes) - 1) if last is None else last
    judged = [judge(levels[size], classifier, like, name) for size in sizes]
    unusable = torch.stack([one.unusable for one in judged])  # (L, B)
    predicted = torch.stack([one.verdict.predicted for one in judged]).masked_fill(unusable, -1)
    counts = torch.arange(len(sizes), device=labels.device)[:, None] <= last
    wrong = (predicted != labels) & ~unusable & counts
    first = torch.where(wrong.any(dim=0), wrong.int().argmax(dim=0), last)
    rows = torch.arange(len(labels), device=labels.device)
    logits = torch.stack([one.verdict.logits for one in judged])[first, rows]
    images = [one.images for one in judged if one.images is not None]
    chosen = torch.stack(images)[first, rows] if len(images) == len(judged) else None
    return JudgedLevels(
        Judged(Verdict(logits), chosen, unusable.any(dim=0)),
        torch.tensor(sizes, device=labels.device)[first],
        dict(zip(sizes, predicted, strict=True)),
    )


def as_guide(guide: Classifier, classifier: Classifier, ours: Sequence[str], name: str) -> Guide:
    """A classifier as a guide of searches against another; `ours` are the classes of the images, as for `vote`.

    ClassifierError where it does not know a class of the images, or of the classifier where they have none.
    """
    theirs = names_of(classifier, ours)
    numbers = numbers_by_name(theirs, names_of(guide, ours))
    wanted = numbers_by_name(ours, theirs) if ours else range(len(theirs))
    if unknown := [theirs[k] for k in wanted if k is not None and numbers[k] is None]:
        raise ClassifierError(
            f"the guide `{name}` does not know {few(unknown)}, so it cannot see whether the label is kept; name one "
            "that was trained on the classes of the images"
        )
    return Guide(guide, torch.tensor([-1 if number is None else number for number in numbers]))


def vote(
    judges: Mapping[str, Classifier], images: Tensor, classifier: Classifier, ours: Sequence[str]
) -> dict[str, Tensor]:
    """Each judge's class for each image, (B,), as a number of the classifier's; -1 for a class it does not have.

    `ours` are the classes of the images, which name the outputs of a network without names.
    """
    votes = {}
    for name, one in judges.items():
        own = classify(one, images, name).predicted
        numbers = numbers_by_name(names_of(one, ours), names_of(classifier, ours))
        meaning = torch.tensor([-1 if number is None else number for number in numbers], device=own.device)
        votes[name] = meaning[own]
    return votes


def label_margins(
    judges: Mapping[str, Classifier], images: Tensor, labels: Tensor, classifier: Classifier, ours: Sequence[str]
) -> dict[str, Tensor]:
    """Each judge's margin of the label, (B,); `labels` (B,) are the classifier's numbers. NaN for an unknown class."""
    margins = {}
    for name, one in judges.items():
        numbers = numbers_by_name(names_of(classifier, ours), names_of(one, ours))
        own = torch.tensor([-1 if number is None else number for number in numbers], device=labels.device)[labels]
        margin = classify(one, images, name).margin(own.clamp_min(0))
        margins[name] = margin.masked_fill(own < 0, torch.nan)
    return margins
