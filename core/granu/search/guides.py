"""Guides: classifiers that take part in a search and must keep the label, so that it finds label-preserving changes.

A search sees the classifier and its guides as one network, whose logits a `GuidedCriterion` reads: another class leads
only as far as every guide sees the label. No search knows of guides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from granu.types import Batch, Classifier, Criterion


@dataclass(frozen=True)
class Guide:
    """A classifier that must keep the label."""

    classifier: Classifier
    numbers: Tensor  # (K,) int64, the class numbers of the classifier under test -> the guide's, -1 where it has none

    def labels(self, labels: Tensor) -> Tensor:
        """The guide's numbers of the classes `labels` (B,) of the classifier under test."""
        return self.numbers.to(labels.device)[labels]

    def sees(self, labels: Tensor, images: Tensor) -> Tensor:
        """(B,) bool: true where the guide sees the class `labels` (B,) in images (B, C, H, W)."""
        with torch.no_grad():
            return self.classifier(images).argmax(dim=1) == self.labels(labels)


class GuidedClassifier:
    """A classifier and its guides: images (B, C, H, W) to the logits of all, side by side."""

    def __init__(self, classifier: Classifier, guides: Sequence[Guide]) -> None:
        self.classifier, self.guides, self.classes = classifier, guides, classifier.classes

    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([one(images) for one in (self.classifier, *(guide.classifier for guide in self.guides))], 1)

    def layers(self) -> Mapping[str, nn.Module]:
        return self.classifier.layers()


@dataclass(frozen=True)
class GuidedCriterion(Criterion):
    """Another class leads by `margin` logits in the classifier, and the label by as many in every guide.

    The objective is the largest of the margins that must be turned or kept, so it is below -margin only where all are.
    """

    guide_labels: tuple[Tensor, ...] = ()  # of each guide (B,) int64
    takes_part: tuple[Tensor, ...] = ()  # of each guide (B,) bool
    outputs: tuple[int, ...] = ()  # classes of the classifier, then of each guide

    def joint_logits(self, logits: Tensor) -> Tensor:
        """Leads (B, K) of each class over the label, none larger than the smallest lead of the label in a guide."""
        own, *theirs = logits.split(self.outputs, dim=1)
        lead = own - own.gather(1, self.labels[:, None])
        for one, labels, takes_part in zip(theirs, self.guide_labels, self.takes_part, strict=True):
            kept = torch.where(takes_part, Criterion(labels.clamp_min(0)).objective(one), torch.inf)
            lead = lead.minimum(kept[:, None])
        return lead.scatter(1, self.labels[:, None], 0.0)

    def without_guides(self) -> GuidedCriterion:
        """The criterion of the classifier alone, for the same logits."""
        return replace(self, takes_part=tuple(torch.zeros_like(one) for one in self.takes_part))

    def select(self, index: Tensor) -> GuidedCriterion:
        """The criterion for some of the images."""
        return GuidedCriterion(
            self.labels[index],
            self.margin,
            tuple(labels[index] for labels in self.guide_labels),
            tuple(one[index] for one in self.takes_part),
            self.outputs,
        )


def guided(
    classifier: Classifier, criterion: Criterion, guides: Sequence[Guide], batch: Batch
) -> tuple[GuidedClassifier, GuidedCriterion]:
    """The classifier and the criterion of a search with guides.

    A guide that does not see the label in an image of the batch takes no part in the search of that image: it could
    only be satisfied by a change that shows the label better.
    """
    return (
        GuidedClassifier(classifier, guides),
        GuidedCriterion(
            criterion.labels,
            criterion.margin,
            guide_labels=tuple(guide.labels(batch.labels) for guide in guides),
            takes_part=tuple(guide.sees(batch.labels, batch.images) for guide in guides),
            outputs=tuple(len(one.classes) for one in (classifier, *(guide.classifier for guide in guides))),
        ),
    )


def keep_label(guides: Sequence[Guide], batch: Batch, images: Tensor) -> Tensor:
    """(B,) bool: true where every guide that takes part sees the label in the changed images (B, C, H, W)."""
    kept = torch.ones_like(batch.labels, dtype=torch.bool)
    for guide in guides:
        kept &= guide.sees(batch.labels, images) | ~guide.sees(batch.labels, batch.images)
    return kept
