"""The core's own verdict: was the classifier fooled, and did the label survive? A plugin's claim is never used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from granu.errors import ClassifierError
from granu.runs.sources import names_of
from granu.types import Classifier, Criterion


@dataclass(frozen=True)
class Verdict:
    """What a classifier says of images."""

    logits: Tensor  # (B, K), finite

    @property
    def predicted(self) -> Tensor:
        """The class it names, (B,) int64."""
        return self.logits.argmax(dim=1)

    def margin(self, labels: Tensor) -> Tensor:
        """By how many logits the label leads, (B,); negative where another class leads."""
        return Criterion(labels).objective(self.logits)


def ask(classifier: Classifier, images: Tensor, name: str) -> Verdict:
    """Ask in float32 about 8-bit images. ClassifierError where the logits are not finite."""
    with torch.no_grad():
        logits = classifier(images).float()
    if not logits.isfinite().all():
        raise ClassifierError(
            f"'{name}' gives NaN or infinite logits for images in [0, 1]; check its weights and its mean= and std="
        )
    return Verdict(logits)


def ask_judges(
    judges: Mapping[str, Classifier], images: Tensor, classifier: Classifier, ours: Sequence[str]
) -> dict[str, Tensor]:
    """Each judge's class for each image, as a number of the classifier's; -1 for a class that it does not have.

    `ours` are the classes of the images, which name the outputs of a network without names. Every vote is stored,
    none is hidden.
    """
    numbers = {name.casefold(): number for number, name in enumerate(names_of(classifier, ours))}
    votes = {}
    for name, judge in judges.items():
        own = ask(judge, images, name).predicted
        meaning = torch.tensor([numbers.get(c.casefold(), -1) for c in names_of(judge, ours)], device=own.device)
        votes[name] = meaning[own]
    return votes
