"""The smallest changes of a linear classifier, held to what mathematics knows of them."""

from __future__ import annotations

import math

import torch
from searching import COUNT, limits, nearest_boundary
from torch import Tensor

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.search.smallest import smallest
from granu.spaces.base import PixelSpace
from granu.testing import tiny


def test_the_smallest_l2_change_of_a_linear_classifier_is_the_closed_form(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    found, _ = smallest(PixelSpace(classifier, batch.images, "l2"), Criterion(batch.labels), steps=100, limit=limits(9))
    exact = nearest_boundary(classifier, batch, 2)
    inside = found.size / exact
    # the box can only make it larger
    assert (inside > 0.999).all() and inside.median() < 1.002


def test_the_smallest_linf_change_of_a_linear_classifier_is_the_closed_form(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    found, _ = smallest(
        PixelSpace(classifier, batch.images, "linf"), Criterion(batch.labels), steps=100, limit=limits(1)
    )
    inside = found.size / nearest_boundary(classifier, batch, 1)
    assert (inside > 0.98).all() and inside.median() < 1.02


def test_the_smallest_l1_change_of_a_linear_classifier_is_near_the_best_filling(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    found, _ = smallest(
        PixelSpace(classifier, batch.images, "l1"), Criterion(batch.labels), steps=200, limit=limits(64)
    )
    exact = torch.tensor([least_l1(classifier, batch.images[i], int(batch.labels[i])) for i in range(COUNT)])
    ratio = found.size / exact
    assert (ratio > 0.99).all() and ratio.median() < 1.1


def least_l1(classifier: ImageClassifier, image: Tensor, label: int) -> float:
    """Fill the steepest pixels up to their bounds until another class leads: exact for a linear classifier."""
    weight, x = classifier.network[1].weight, image.flatten()
    logits, best = classifier(image[None])[0], math.inf
    for other in range(len(logits)):
        if other == label:
            continue
        w = weight[other] - weight[label]
        room = torch.where(w > 0, 1 - x, x)
        need, spent = float(logits[label] - logits[other]), 0.0
        for i in w.abs().argsort(descending=True).tolist():
            used = min(float(room[i]), need / float(w[i].abs()))
            spent, need = spent + used, need - used * float(w[i].abs())
            if need <= 1e-9:
                best = min(best, spent)
                break
    return best
