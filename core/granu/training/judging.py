"""A judge of training images: an independent classifier that says which class a changed image shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from granu.errors import ClassifierError
from granu.runs.judge import vote
from granu.runs.sources import few, names_of, numbers_by_name
from granu.types import Classifier

if TYPE_CHECKING:
    from granu.plugins.context import BuildContext


class Judge:
    """A classifier that takes no part in the training."""

    def __init__(self, classifier: Classifier, name: str) -> None:
        self.classifier, self.name = classifier, name

    def check(self, classifier: Classifier) -> None:
        """ClassifierError where the judge does not know a class of the classifier that is trained."""
        ours = classifier.classes
        numbers = numbers_by_name(ours, names_of(self.classifier, ours))
        if missing := [name for name, number in zip(ours, numbers, strict=True) if number is None]:
            raise ClassifierError(
                f"the judge `{self.name}` does not know {few(missing)}, which the classifier tells apart; take a judge "
                "of the same classes"
            )

    def classes_of(self, images: Tensor, classifier: Classifier) -> Tensor:
        """The class that the judge sees in images (B, C, H, W) in [0, 1], as a number of `classifier`'s, (B,).

        -1 where it is none of the classifier's.
        """
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return vote({self.name: self.classifier}, images, classifier, classifier.classes)[self.name]


def open_judge(spec: str, context: BuildContext) -> Judge:
    """The judge that the spec of a classifier names, on the context's device."""
    built: Any = context.build("classifier", spec)
    if isinstance(built, torch.nn.Module):
        built = built.to(context.device).eval().requires_grad_(False)
    return Judge(built, spec)
