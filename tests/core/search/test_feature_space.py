"""A change inside the classifier: found by the same searches, and judged by the logits, since there is no image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from searching import COUNT
from torch import Tensor, nn

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.search.options import SEARCHES
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search
from granu.spaces.base import Space
from granu.streams import Streams
from granu.testing import tiny
from granu.testing.contracts import check_perturbation, check_space_factory
from granu.types import Classifier, ClassifierEvidence, Proposal

FEATURES = 12


class LayerSpace(Space):
    """Numbers added to the output (B, D) of one layer of the classifier; size is their root mean square."""

    unit = "activation (RMS)"
    largest = 100.0
    has_images = False

    def __init__(self, classifier: Classifier, clean: Tensor, layer: nn.Module, dimension: int) -> None:
        super().__init__(classifier, clean, dimension)
        self.layer = layer

    def forward(self, change: Tensor) -> Tensor:
        hook = self.layer.register_forward_hook(lambda module, inputs, output: output + change)
        try:
            return self.classifier(self.clean)
        finally:
            hook.remove()


class Features:
    """The perturbation `features`: changes after the layer of that name."""

    unit = LayerSpace.unit

    def __init__(self, name: str, dimension: int) -> None:
        self.name, self.dimension = name, dimension

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        return LayerSpace(classifier, batch.images, classifier.layers()[self.name], self.dimension)


@pytest.fixture
def classifier() -> ImageClassifier:
    """Tanh features of the tiny images, below a linear head."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, FEATURES), nn.Tanh(), nn.Linear(FEATURES, 3))
    return ImageClassifier(network, tiny.CLASSES, channels=1, size=(8, 8))


@pytest.fixture
def correct(batch: Batch, classifier: ImageClassifier) -> Batch:
    return Batch(batch.images, classifier(batch.images).argmax(1), batch.ids)


def exact_size(classifier: ImageClassifier, batch: Batch) -> Tensor:
    """(B,) the gap of the nearest class over the norm of the difference of weights, as a root mean square."""
    weight, logits = classifier.network[3].weight, classifier(batch.images)
    gaps = logits.gather(1, batch.labels[:, None]) - logits
    distance = gaps / (weight[None] - weight[batch.labels][:, None]).norm(dim=2)
    return distance.scatter(1, batch.labels[:, None], torch.inf).amin(1) / FEATURES**0.5


def attack(classifier: Classifier, batch: Batch, search: str = "smallest", **options: Any) -> Proposal:
    searched = SearchedPerturbation(Features("2", FEATURES), make_search(search, SEARCHES[search](**options)))
    return searched.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids))


def test_the_space_is_in_order(classifier: ImageClassifier, correct: Batch) -> None:
    check_space_factory(Features("2", FEATURES), classifier, correct)


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_keeps_the_contract(classifier: ImageClassifier, correct: Batch, search: str) -> None:
    budget = {"budget": 1.0} if search in ("worst", "pgd", "random") else {}
    options = SEARCHES[search](**budget)
    check_perturbation(SearchedPerturbation(Features("2", FEATURES), make_search(search, options)), classifier, correct)


@pytest.mark.parametrize(("search", "slack"), [("smallest", 1.005), ("deepfool", 1.03)])
def test_the_smallest_change_of_features_below_a_linear_head_is_the_closed_form(
    classifier: ImageClassifier, correct: Batch, search: str, slack: float
) -> None:
    proposal, exact = attack(classifier, correct, search), exact_size(classifier, correct)
    assert ((proposal.size / exact > 0.999) & (proposal.size < slack * exact + 1e-3)).all()


@pytest.mark.parametrize("search", ["smallest", "deepfool", "dunn2020"])
def test_it_is_judged_by_its_logits_and_not_by_images(classifier: ImageClassifier, correct: Batch, search: str) -> None:
    proposal = attack(classifier, correct, search, margin=1e-3)
    assert isinstance(proposal.evidence, ClassifierEvidence) and isinstance(proposal.control, ClassifierEvidence)
    logits = proposal.evidence.logits_at()
    assert logits.shape == (COUNT, 3) and logits.dtype == torch.float32 and not logits.requires_grad
    assert (logits.argmax(1) != correct.labels).all()
    assert torch.equal(logits, proposal.evidence.logits_at())
    assert not proposal.extra or "quantization_scale" not in proposal.extra
    assert (proposal.control.logits_at().argmax(1) != correct.labels).sum() < COUNT / 2


def test_evidence_is_computed_in_float32_although_gradients_are_not(
    classifier: ImageClassifier, correct: Batch
) -> None:
    space = Features("2", FEATURES).open(classifier, correct, Streams(0, correct.ids))
    exact = space.judged_logits(space.start())
    space.low_precision = True
    assert not torch.equal(space.logits(space.start()), exact), "bfloat16 was not used"
    evidence = space.evidence(space.start())
    assert isinstance(evidence, ClassifierEvidence) and torch.equal(evidence.logits_at(), exact)


def test_a_space_without_images_says_what_it_lacks(correct: Batch) -> None:
    with pytest.raises(TypeError, match="`forward` with has_images = False"):
        Space(tiny.tiny_linear_classifier(), correct.images, 1).logits(torch.zeros(COUNT, 1))
