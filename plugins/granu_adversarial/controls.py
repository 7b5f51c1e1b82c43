"""Controls: plain training, and plain training on more data."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from granu import Defense, LabelledImages, TrainingStep


class Standard(Defense):
    """Plain training: the cross-entropy of the images, or the loss of the defenses behind."""

    def loss(self, step: TrainingStep) -> Tensor:
        return step.rest(step.images)


class ExtraData(Defense):
    """Plain training with as many further images as the step has; they have the weight `share` in the loss."""

    def __init__(self, images: LabelledImages, share: float) -> None:
        self.images, self.share = images, share

    def loss(self, step: TrainingStep) -> Tensor:
        streams = step.streams.scope("extra-data")
        batch = self.images.draw(step.classifier, step.labels, streams)
        further = replace(step, images=step.classifier.fitted(batch.images), labels=batch.labels, streams=streams)
        return (1 - self.share) * step.rest(step.images) + self.share * further.rest(further.images)
