"""The smallest changes of a linear classifier, compared with their closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from searching import COUNT, nearest_boundary, run
from torch import Tensor

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.spaces.base import PixelSpace
from granu.testing import tiny


@pytest.mark.parametrize(("search", "slack"), [("smallest", 1.002), ("deepfool", 1.05)])
def test_the_smallest_l2_change_of_a_linear_classifier_is_the_closed_form(
    batch: Batch, search: str, slack: float
) -> None:
    classifier = tiny.tiny_linear_classifier()
    found = run(search, PixelSpace(classifier, batch.images, "l2"), Criterion(batch.labels), limit=9.0)
    exact = nearest_boundary(classifier, batch, 2)
    inside = found.size / exact
    # the box can only make it larger
    assert (inside > 0.999).all() and inside.median() < slack


def test_the_smallest_linf_change_of_a_linear_classifier_is_the_closed_form(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    found = run("smallest", PixelSpace(classifier, batch.images, "linf"), Criterion(batch.labels), limit=1.0)
    inside = found.size / nearest_boundary(classifier, batch, 1)
    assert (inside > 0.98).all() and inside.median() < 1.02


def test_the_smallest_l1_change_of_a_linear_classifier_is_near_the_best_filling(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    space = PixelSpace(classifier, batch.images, "l1")
    found = run("smallest", space, Criterion(batch.labels), steps=200, limit=64.0)
    exact = torch.tensor([least_l1(classifier, batch.images[i], int(batch.labels[i])) for i in range(COUNT)])
    ratio = found.size / exact
    assert (ratio > 0.99).all() and ratio.median() < 1.1


@torch.no_grad()
def least_l1(classifier: ImageClassifier, image: Tensor, label: int) -> float:
    """Fill the steepest pixels up to their bounds until another class leads: exact for a linear classifier."""
    weight, x = classifier.network[1].weight, image.flatten()
    logits, best = classifier(image[None])[0], math.inf
    for other in range(len(logits)):
        if other == label:
            continue
        w = weight[other] - weight[label]
        free = torch.where(w > 0, 1 - x, x)
        need, spent = float(logits[label] - logits[other]), 0.0
        for i in w.abs().argsort(descending=True).tolist():
            used = min(float(free[i]), need / float(w[i].abs()))
            spent, need = spent + used, need - used * float(w[i].abs())
            if need <= 1e-9:
                best = min(best, spent)
                break
    return best
