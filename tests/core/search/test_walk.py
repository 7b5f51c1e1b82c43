"""The walk to the nearest boundary, with which a search may begin."""

from __future__ import annotations

import pytest
import torch
from searching import COUNT, limits, nearest_boundary
from torch import nn

from granu import Batch, Goal
from granu.classify import ImageClassifier
from granu.search.ledger import Ledger
from granu.search.reach import RIVALS, reach
from granu.search.smallest import smallest
from granu.spaces import PixelSpace
from granu.testing import tiny


def test_the_walk_crosses_a_linear_boundary_just_behind_it(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    space = PixelSpace(classifier, batch.images, "l2")
    ledger = Ledger.open(space)
    crossed = reach(space, Goal(batch.labels), ledger, looks=25, limit=limits(9))
    assert ledger.found.all() and len(ledger.active) == COUNT
    assert torch.equal(space.size(crossed), ledger.size)
    # where the range of pixels cuts a step short it takes another look
    assert (ledger.size / nearest_boundary(classifier, batch, 2)).median() < 1.05
    assert ledger.backward.median() <= 3 * RIVALS


def test_the_walk_goes_to_the_nearest_boundary_and_not_to_the_class_in_second_place() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].bias.copy_(torch.tensor([1.0, 0.9, 0.0]))  # class 1 is second, and hardly moves
        network[1].weight[1, 0], network[1].weight[2, 1] = 0.1, 10.0
    classifier = ImageClassifier(network, ["a", "b", "c"], channels=1, size=(8, 8))
    space = PixelSpace(classifier, torch.zeros(1, 1, 8, 8), "l2")
    crossed = reach(space, Goal(torch.tensor([0])), Ledger.open(space), looks=25, limit=limits(9)[:1])
    assert classifier(space.pictures(crossed)).argmax(1).item() == 2
    assert space.size(crossed).item() == pytest.approx(0.1, rel=0.03)


def test_a_search_that_begins_with_a_walk_finds_no_larger_changes_in_few_steps(batch: Batch) -> None:
    space = PixelSpace(tiny.tiny_bent_classifier(), batch.images, "l2")
    goal = Goal(space.judged_logits(space.start()).argmax(1))
    plain, _ = smallest(space, goal, steps=3, limit=limits(9))
    walked, _ = smallest(space, goal, steps=3, limit=limits(9), walk=25)
    assert walked.found.all() and (walked.size <= plain.size * 1.001).float().mean() > 0.7


def test_the_walk_stops_without_a_gradient_and_leaves_the_verdict_to_the_search(batch: Batch) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    nn.init.zeros_(flat[1].weight)
    space = PixelSpace(ImageClassifier(flat, ["a", "b", "c"], channels=1, size=(8, 8)), batch.images, "l2")
    ledger = Ledger.open(space)
    labels = torch.full((COUNT,), int(flat[1].bias.argmax()))
    assert not reach(space, Goal(labels), ledger, looks=25, limit=limits(9)).any()
    assert ledger.forward.tolist() == [1] * COUNT and ledger.notes == [None] * COUNT
