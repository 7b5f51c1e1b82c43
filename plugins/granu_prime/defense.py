"""Training on augmented images, or on images and two augmented views of each that must agree."""

from __future__ import annotations

import torch
from torch import Tensor

from granu import Defense, TrainingStep
from granu_prime.consistency import jensen_shannon
from granu_prime.mixing import Primitive


class AugmentedTraining(Defense):
    """Cross-entropy of augmented images, or of clean ones plus a Jensen-Shannon divergence between views.

    With `jsd` a step is one pass of three views, the image and two augmentations of it, so that batch normalisation
    sees all of them. The defenses that follow receive the clean images then, and augmented images without it. `jsd` is
    None for: yes, unless another defense follows. `scope` names the random streams.
    """

    def __init__(self, scope: str, augment: Primitive, jsd: bool | None = None, weight: float = 12.0) -> None:
        self.scope, self.augment, self.jsd, self.weight = scope, augment, jsd, weight

    def loss(self, step: TrainingStep) -> Tensor:
        streams = step.streams.scope(self.scope)
        consistent = not step.following if self.jsd is None else self.jsd
        if not consistent:
            return step.rest(self.augment(step.images, streams))
        augmented = [self.augment(step.images, streams) for _ in range(2)]
        views = step.classifier(torch.cat((step.images, *augmented))).chunk(3)
        return step.rest(step.images, views[0]) + self.weight * jensen_shannon(views)

    def robust_logits(self, step: TrainingStep) -> Tensor:
        return step.classifier(self.augment(step.images, step.streams.scope(self.scope)))
