"""The walk to the nearest boundary, with which a search may begin."""

from __future__ import annotations

import pytest
import torch
from searching import COUNT, limits, nearest_boundary
from torch import nn

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.search.deepfool import RIVALS, reach
from granu.search.smallest import smallest
from granu.search.state import SearchState
from granu.spaces.base import PixelSpace
from granu.testing import tiny


def test_the_walk_crosses_a_linear_boundary_just_behind_it(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    space = PixelSpace(classifier, batch.images, "l2")
    state = SearchState.start(space)
    crossed = reach(space, Criterion(batch.labels), state, looks=25, limit=limits(9))
    assert state.found.all() and len(state.active) == COUNT
    assert torch.equal(space.size(crossed), state.size)
    # where the range of pixels cuts a step short it takes another look
    assert (state.size / nearest_boundary(classifier, batch, 2)).median() < 1.05
    assert state.backward.median() <= 3 * RIVALS


def test_the_walk_goes_to_the_nearest_boundary_and_not_to_the_class_in_second_place() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].bias.copy_(torch.tensor([1.0, 0.9, 0.0]))  # class 1 is second, and hardly moves
        network[1].weight[1, 0], network[1].weight[2, 1] = 0.1, 10.0
    classifier = ImageClassifier(network, ["a", "b", "c"], channels=1, size=(8, 8))
    space = PixelSpace(classifier, torch.zeros(1, 1, 8, 8), "l2")
    crossed = reach(space, Criterion(torch.tensor([0])), SearchState.start(space), looks=25, limit=limits(9)[:1])
    assert classifier(space.images(crossed)).argmax(1).item() == 2
    assert space.size(crossed).item() == pytest.approx(0.1, rel=0.03)


def test_a_search_that_begins_with_a_walk_finds_no_larger_changes_in_few_steps(batch: Batch) -> None:
    space = PixelSpace(tiny.tiny_bent_classifier(), batch.images, "l2")
    criterion = Criterion(space.judged_logits(space.start()).argmax(1))
    plain, _ = smallest(space, criterion, steps=3, limit=limits(9))
    walked, _ = smallest(space, criterion, steps=3, limit=limits(9), deepfool_init=25)
    assert walked.found.all() and (walked.size <= plain.size * 1.001).float().mean() > 0.7


def test_the_walk_stops_without_a_gradient_and_leaves_the_verdict_to_the_search(batch: Batch) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    nn.init.zeros_(flat[1].weight)
    space = PixelSpace(ImageClassifier(flat, ["a", "b", "c"], channels=1, size=(8, 8)), batch.images, "l2")
    state = SearchState.start(space)
    labels = torch.full((COUNT,), int(flat[1].bias.argmax()))
    assert not reach(space, Criterion(labels), state, looks=25, limit=limits(9)).any()
    assert state.forward.tolist() == [1] * COUNT and state.notes == [None] * COUNT
