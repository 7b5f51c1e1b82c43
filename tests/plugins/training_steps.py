"""Steps of a training for tests of defenses, and the images that reach the end of the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from granu import Defense, ImageClassifier, Streams, TrainingStep
from granu.testing import tiny


def make_step(classifier: ImageClassifier, progress: float = 0.9, count: int = 6, **fields: object) -> TrainingStep:
    """A step on the first images of the tiny world."""
    batch = tiny.tiny_batch(count)
    streams = Streams(0, batch.ids, "train")
    step = TrainingStep(classifier.train(), batch.images, batch.labels, streams, 7, progress=progress)
    return replace(step, **fields)  # type: ignore[arg-type]


class Recorder(Defense):
    """Records the images and labels that reach the end of the chain."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.labels: list[Tensor] = []

    def loss(self, step: TrainingStep) -> Tensor:
        self.images.append(step.images.detach())
        self.labels.append(step.labels)
        return step.rest(step.images)


def images_of(defense: Defense, step: TrainingStep) -> Sequence[Tensor]:
    """The images whose loss a defense takes, in the order in which it does."""
    recorder = Recorder()
    defense.loss(replace(step, following=(recorder,)))
    return recorder.images
