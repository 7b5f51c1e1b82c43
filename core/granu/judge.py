"""The core's own verdict: was the classifier fooled, and did the label survive? A plugin's claim is never used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from granu.errors import ClassifierError
from granu.types import Classifier, Goal


@dataclass(frozen=True)
class Verdict:
    """What a classifier says of pictures: the class it names, and by how many logits the label leads."""

    predicted: Tensor  # (B,) int64
    margin: Tensor  # (B,), negative where another class leads

    def tells(self, labels: Tensor) -> Tensor:
        """(B,) whether it names the label."""
        return self.predicted == labels


def ask(classifier: Classifier, images: Tensor, labels: Tensor | None, name: str) -> Verdict:
    """Ask in float32 about 8-bit pictures; without labels the verdict itself is the label.

    ClassifierError where the logits are not finite.
    """
    with torch.no_grad():
        logits = classifier(images).float()
    if not logits.isfinite().all():
        raise ClassifierError(
            f"'{name}' gives NaN or infinite logits for pictures in [0, 1]; check its weights and its mean= and std="
        )
    predicted = logits.argmax(dim=1)
    return Verdict(predicted, Goal(predicted if labels is None else labels).objective(logits))


def ask_judges(judges: Mapping[str, Classifier], images: Tensor, classes: Sequence[str]) -> dict[str, Tensor]:
    """Each judge's class for each picture, as a number within `classes`; -1 for a class that is not among them.

    Every vote is stored, none is hidden.
    """
    numbers = {name.casefold(): number for number, name in enumerate(classes)}
    votes = {}
    for name, judge in judges.items():
        own = ask(judge, images, None, name).predicted
        meaning = torch.tensor([numbers.get(c.casefold(), -1) for c in judge.classes], device=own.device)
        votes[name] = meaning[own]
    return votes
