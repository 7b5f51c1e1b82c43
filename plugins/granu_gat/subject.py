"""The images that `gat` changes: drawn by the generator, or the training images as it encodes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from granu import Batch, EncodedImages, ImageClassifier, LabelledImages, TrainingStep


@dataclass(frozen=True)
class Subject:
    """A batch before the attack. Training images that could not be encoded are kept as they are."""

    labels: Tensor  # (B,)
    batch: Batch  # those that can be changed, with latents; at the generator's size
    index: Tensor  # (b,) int64: which of the B they are
    unchanged: Tensor | None = None  # (B, C, H, W) as the generator takes them; None where all can be changed
    notes: Mapping[str, float] = field(default_factory=dict)

    def with_changed(self, changed: Tensor, classifier: ImageClassifier) -> Tensor:
        """All images (B, C, H, W) at the network's size, with the changed ones (b, C, H, W) in their places."""
        if self.unchanged is not None:
            changed = self.unchanged.index_copy(0, self.index, changed)
        return classifier.fitted(changed).clamp(0, 1)


def draw_subject(images: LabelledImages, step: TrainingStep) -> Subject:
    """One drawn image for each of the step's, of the same class where the generator has it."""
    batch = images.draw(step.classifier, step.labels, step.streams)
    return Subject(batch.labels, batch, torch.arange(len(batch.labels)))


def encode_subject(images: EncodedImages, step: TrainingStep) -> Subject:
    """The step's images, encoded. What the encoding loses is noted apart from what the attack does."""
    encoded = images.encode(step.classifier, step.images, step.labels, step.streams.ids)
    with step.attacking() as classifier:
        seen = classifier(encoded.reconstructions).detach().argmax(dim=1)  # with gradients on, because of autocast
    notes = {
        "encoded": len(encoded.index) / len(step.labels),
        "psnr": float(encoded.psnr.mean()),
        "right on reconstructions": float((seen == encoded.batch.labels).float().mean()),
    }
    complete = len(encoded.index) == len(step.labels)
    return Subject(step.labels, encoded.batch, encoded.index, None if complete else encoded.prepared, notes)
