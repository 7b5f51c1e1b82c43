"""Accuracy of a classifier on clean images and under projected gradient descent."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from granu import Batch, BuildContext, Classifier, Streams, TrainingAttack, open_perturbations

__all__ = ["ATTACKED", "BUDGETS", "accuracy", "robust_accuracy"]

ATTACKED = 1000  # number of test images for the robust accuracy, the first ones
BUDGETS = {
    "mnist": ("pixel:l2,budget=1", "pixel:l2,budget=2", "pixel:linf,budget=0.1", "pixel:linf,budget=0.3"),
    "cifar10": ("pixel:l2,budget=0.25", "pixel:linf,budget=0.01"),
}


def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of images (N, C, H, W) in [0, 1] that are classified as their labels (N,)."""
    right = sum(int((classify(classifier, x) == y).sum()) for x, y in _batches(images, labels, 500))
    return right / len(labels)


def robust_accuracy(
    classifier: Classifier, images: Tensor, labels: Tensor, perturbation: str, context: BuildContext
) -> float:
    """Share of the images that stay correctly classified under 40 steps of PGD from one random start."""
    (opened,) = open_perturbations(perturbation, context, {"steps": "40"})
    attack, right, done = TrainingAttack(opened), 0, 0
    for x, y in _batches(images, labels, 250):
        ids = tuple(f"image#{done + number}" for number in range(len(y)))
        changed = attack(classifier, Batch(x, y, ids), Streams(0, ids, "check")).images()
        right += int(((classify(classifier, x) == y) & (classify(classifier, changed) == y)).sum())
        done += len(y)
    return right / len(labels)


def classify(classifier: Classifier, images: Tensor) -> Tensor:
    """The classes (B,) of images."""
    with torch.no_grad():
        return classifier(images).argmax(dim=1)


def _batches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(images.split(size), labels.split(size), strict=True)
