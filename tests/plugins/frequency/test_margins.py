"""Margins along frequencies (`search=deepfool,box=no`): exact on a linear classifier, infinite without a boundary."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from granu import Criterion
from granu.images.classifier import ImageClassifier
from granu.search.deepfool import DeepFool
from granu.search.options import DeepFoolOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.result import SearchResult
from granu.spaces.base import Network
from granu.streams import Streams
from granu.testing import tiny
from granu.types import ClassifierEvidence
from granu_frequency import FrequencyOptions
from granu_frequency.bands import Band, all_bands, make_band
from granu_frequency.space import Frequency, FrequencySpace

BANDS = all_bands((8, 8))


def margins(classifier: Network, images: Tensor, labels: Tensor, band: Band, box: bool = False) -> SearchResult:
    space = FrequencySpace(classifier, images, band, box)
    streams = Streams(0, [str(i) for i in range(len(images))])
    return DeepFool(DeepFoolOptions()).run(space, Criterion(labels), streams)


def linear_margins(classifier: ImageClassifier, images: Tensor, labels: Tensor, band: Band) -> Tensor:
    """(B,) in closed form: the gap of the nearest class over the projected difference of weights."""
    weight, logits = classifier.network[1].weight, classifier(images)
    gaps = logits.gather(1, labels[:, None]) - logits
    w = band.project((weight[None] - weight[labels][:, None]).view(len(labels), -1, *images.shape[1:]))
    distance = (gaps / w.flatten(2).norm(dim=2)).masked_fill(nn.functional.one_hot(labels, 3).bool(), math.inf)
    return distance.amin(1)


@pytest.mark.parametrize("band", [BANDS[0], BANDS[6], BANDS[-1]])
def test_on_a_linear_classifier_they_are_the_closed_form_with_the_overshoot(band: Band) -> None:
    classifier, batch = tiny.tiny_linear_classifier(), tiny.tiny_batch(9)
    labels = classifier(batch.images).argmax(1)
    found = margins(classifier, batch.images, labels, band)
    exact = linear_margins(classifier, batch.images, labels, band)
    torch.testing.assert_close(found.size, 1.02 * exact, rtol=2e-3, atol=2e-3)
    assert (found.forward == 2).all() and (found.backward == 2).all()  # two other classes, compared once


def test_batches_do_not_change_a_margin() -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(7)
    labels = classifier(batch.images).argmax(1)
    together = margins(classifier, batch.images, labels, BANDS[3]).size
    alone = [margins(classifier, batch.images[i : i + 1], labels[i : i + 1], BANDS[3]).size for i in range(7)]
    torch.testing.assert_close(torch.cat(alone), together)


def test_a_misclassified_image_has_no_margin() -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(4)
    wrong = (classifier(batch.images).argmax(1) + 1) % 3
    assert not margins(classifier, batch.images, wrong, BANDS[0]).size.any()


def test_a_boundary_that_no_frequency_of_the_band_reaches_is_infinitely_far() -> None:
    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            mean = images.mean((1, 2, 3))
            return torch.stack([mean, 0.3 - 0 * mean], dim=1)

    x, labels = torch.full((2, 1, 8, 8), 0.5), torch.zeros(2, dtype=torch.int64)
    low, high = make_band("low", (0, 0), (1, 1), (8, 8)), make_band("high", (4, 4), (1, 1), (8, 8))
    torch.testing.assert_close(
        margins(Mean(), x, labels, low).size, torch.full((2,), 1.02 * 0.2 * 8), rtol=6e-3, atol=0
    )
    assert margins(Mean(), x, labels, high).size.isinf().all()


def test_only_without_a_box_the_classifier_sees_values_beyond_the_range() -> None:
    inner, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(6)
    labels = inner(batch.images).argmax(1)
    beyond: list[float] = []

    def watched(images: Tensor) -> Tensor:
        beyond.append(float((images - images.clamp(0, 1)).detach().abs().max()))
        return inner(images)

    boxed = margins(watched, batch.images, labels, BANDS[0], box=True)
    assert max(beyond) == 0 and boxed.found.float().mean() > 0.5
    free = margins(watched, batch.images, labels, BANDS[0])
    assert max(beyond) > 0 and not torch.equal(boxed.size, free.size)


def test_a_change_without_a_box_is_judged_by_its_logits() -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(6)
    labels = classifier(batch.images).argmax(1)
    searched = SearchedPerturbation(Frequency(FrequencyOptions(window=0, box=False)), DeepFool(DeepFoolOptions()))
    proposal = searched.perturb(classifier, batch, Criterion(labels), Streams(0, batch.ids))
    assert isinstance(proposal.evidence, ClassifierEvidence)
    assert (proposal.evidence.logits_at().argmax(1) != labels).all()
