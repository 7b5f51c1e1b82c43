"""One training step as a defense sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from granu.images.classifier import ImageClassifier
    from granu.streams import Streams
    from granu.training.defense import Defense


@dataclass(frozen=True)
class TrainingStep:
    """A batch of training images and the classifier that is trained on them.

    In several processes the batch is this process's share. `streams` are the random streams of the images in this
    step, one per image, so that a result depends neither on the number of processes nor on an interruption. A defense
    opens a scope of its own: `step.streams.scope("prime")`.
    """

    classifier: ImageClassifier  # in training mode
    images: Tensor  # (B, C, H, W) in [0, 1]
    labels: Tensor  # (B,) int64, the classifier's class numbers
    streams: Streams
    number: int  # of the step, from 0
    progress: float  # share of the training that is done, in [0, 1)
    following: Sequence[Defense] = ()  # the defenses behind this one
    noted: dict[str, list[float]] = field(default_factory=dict)  # what `note` was given

    def rest(self, images: Tensor, logits: Tensor | None = None) -> Tensor:
        """The loss of these images (B, C, H, W) under the defenses that follow: at the end, the cross-entropy.

        `logits` (B, K) are those of the images, if they were computed already: that saves the pass where no defense
        follows.
        """
        if self.following:
            first, *others = self.following
            return first.loss(replace(self, images=images, following=tuple(others)))
        return F.cross_entropy(self.classifier(images) if logits is None else logits, self.labels)

    def note(self, name: str, value: float | Tensor) -> None:
        """Log a number of this step: an epoch's record holds the mean over its steps and over all processes.

        Every process must note the same names in each step.
        """
        self.noted.setdefault(name, []).append(float(value))

    @contextmanager
    def attacking(self) -> Iterator[ImageClassifier]:
        """The classifier in evaluation mode, for passes that must not update the statistics of batch normalisation."""
        training = self.classifier.training
        self.classifier.eval()
        try:
            yield self.classifier
        finally:
            self.classifier.train(training)
