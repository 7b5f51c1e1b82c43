"""DeepFool: the nearest boundary, its distance, its normal, and the start that it gives to `smallest`."""

from __future__ import annotations

import pytest
import torch
from searching import COUNT, limits, nearest_boundary, run
from torch import nn

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.search.deepfool import DeepFoolCandidates, DeepFoolStop, deepfool
from granu.search.state import SearchState
from granu.spaces.base import PixelSpace
from granu.testing import tiny


@pytest.mark.parametrize("candidates", DeepFoolCandidates)
def test_it_crosses_a_linear_boundary_just_behind_it(batch: Batch, candidates: DeepFoolCandidates) -> None:
    classifier = tiny.tiny_linear_classifier()
    space = PixelSpace(classifier, batch.images, "l2")
    state = SearchState(space, Criterion(batch.labels))
    crossing = deepfool(state, limits(9), steps=25, classes=3, candidates=candidates)
    assert state.found.all() and crossing.crossed.all()
    assert torch.equal(space.size(crossing.change), state.size)
    # where the range of pixels cuts a step short it takes another step
    assert (state.size / nearest_boundary(classifier, batch, 2)).median() < 1.05
    assert state.backward.median() == 2  # two other classes, compared once


def test_its_normal_is_that_of_the_linear_boundary(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    state = SearchState(PixelSpace(classifier, batch.images, "l2"), Criterion(batch.labels))
    crossing = deepfool(state, limits(9), steps=25, classes=3, candidates=DeepFoolCandidates.NEAREST, normals=True)
    weight = classifier.network[1].weight
    reached = classifier((batch.images + crossing.change.view_as(batch.images)).clamp(0, 1)).argmax(1)
    normal = nn.functional.normalize(weight[reached] - weight[batch.labels])
    torch.testing.assert_close(crossing.normal, normal, rtol=1e-4, atol=1e-5)


def test_it_goes_to_the_nearest_boundary_and_not_to_the_class_in_second_place() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].bias.copy_(torch.tensor([1.0, 0.9, 0.0]))  # class 1 is second, and hardly moves
        network[1].weight[1, 0], network[1].weight[2, 1] = 0.1, 10.0
    classifier = ImageClassifier(network, ["a", "b", "c"], channels=1, size=(8, 8))
    space = PixelSpace(classifier, torch.zeros(1, 1, 8, 8), "l2")
    crossing = deepfool(SearchState(space, Criterion(torch.tensor([0]))), limits(9)[:1], steps=25, classes=3)
    assert classifier(space.images(crossing.change)).argmax(1).item() == 2
    assert space.size(crossing.change).item() == pytest.approx(0.1, rel=0.03)


def test_passes_do_not_depend_on_the_batch(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    space, criterion = PixelSpace(classifier, batch.images, "l2"), Criterion(batch.labels)
    together = run("deepfool", space, criterion)
    for i in range(COUNT):
        one = torch.tensor([i])
        alone = run("deepfool", space.select(one), criterion.select(one))
        assert (alone.forward[0], alone.backward[0]) == (together.forward[i], together.backward[i])


def test_no_distance_exceeds_the_limit(batch: Batch) -> None:
    space = PixelSpace(tiny.tiny_bent_classifier(), batch.images, "l2")
    found = run("deepfool", space, Criterion(batch.labels), limit=0.01)
    assert not found.found.any() and (found.tried <= 0.01 * 1.001).all() and found.notes == (None,) * COUNT


def test_a_search_that_begins_with_deepfool_finds_no_larger_changes_in_few_steps(batch: Batch) -> None:
    space = PixelSpace(tiny.tiny_bent_classifier(), batch.images, "l2")
    criterion = Criterion(space.judged_logits(space.start()).argmax(1))
    plain = run("smallest", space, criterion, steps=3, limit=9.0)
    started = run("smallest", space, criterion, steps=3, limit=9.0, deepfool_init=25)
    assert started.found.all() and (started.size <= plain.size * 1.001).float().mean() > 0.7


@pytest.mark.parametrize(("bias", "stop"), [(0.0, DeepFoolStop.ZERO_GRADIENT), (float("nan"), DeepFoolStop.NOT_FINITE)])
def test_it_stops_without_a_usable_gradient_and_leaves_the_verdict_to_the_search(
    batch: Batch, bias: float, stop: DeepFoolStop
) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    nn.init.zeros_(flat[1].weight)
    nn.init.constant_(flat[1].bias[1:], bias - 1)
    space = PixelSpace(ImageClassifier(flat, ["a", "b", "c"], channels=1, size=(8, 8)), batch.images, "l2")
    state = SearchState(space, Criterion(torch.zeros(COUNT, dtype=torch.int64)))
    crossing = deepfool(state, limits(9), steps=25, classes=3)
    assert not crossing.change.any() and (crossing.stop == stop).all()
    assert state.forward.tolist() == [1] * COUNT and state.notes == [None] * COUNT
