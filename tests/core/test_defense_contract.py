"""The contract of defenses holds for a sound one and names what each of several others does wrong."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Defense, ImageClassifier, TrainingStep
from granu.testing import check_defense, tiny


class Plain(Defense):
    """The sound one; each of the others breaks one promise of it."""

    def loss(self, step: TrainingStep) -> Tensor:
        return step.rest(step.images)


class PerImageNoise(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        return step.rest(step.images + 0.1 * step.streams.scope("noise").normal(1, 8, 8))


class Summed(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        return F.cross_entropy(step.classifier(step.images), step.labels, reduction="sum")


class NotScalar(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        return F.cross_entropy(step.classifier(step.images), step.labels, reduction="none")


class NotFinite(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        return step.rest(step.images) / 0


class WithoutGradient(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        return 0 * step.rest(step.images)


class GlobalNoise(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        return step.rest(step.images + 0.1 * torch.randn_like(step.images))


class NoiseByPosition(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        return step.rest(step.images * torch.linspace(0, 1, len(step.images))[:, None, None, None])


class WholeBatch(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        return step.rest(step.images - step.images.mean(dim=0))


class LeftInEvaluation(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        step.classifier.eval()
        return step.rest(step.images)


class Stepping(Plain):
    def loss(self, step: TrainingStep) -> Tensor:
        loss = step.rest(step.images)
        with torch.no_grad():
            next(iter(step.classifier.parameters())).mul_(0.9)
        return loss


class Unrepeatable(Plain):
    def prepare(self, classifier: ImageClassifier) -> None:
        with torch.no_grad():
            next(iter(classifier.parameters())).add_(torch.randn(()))


class OneLogit(Plain):
    def robust_logits(self, step: TrainingStep) -> Tensor:
        return step.classifier(step.images)[:1]


class OtherRoute(Plain):
    def routes(self, classifier: ImageClassifier) -> Mapping[str, Mapping[str, Tensor]]:
        state = classifier.network.state_dict()
        return {"main": state, "aux": {**state, "more": torch.zeros(1)}}


class NoMain(Plain):
    def routes(self, classifier: ImageClassifier) -> Mapping[str, Mapping[str, Tensor]]:
        return {"aux": classifier.network.state_dict()}


@pytest.mark.parametrize("defense", [Plain(), PerImageNoise()])
def test_a_sound_defense_keeps_it(defense: Defense) -> None:
    check_defense(defense, tiny.tiny_linear_classifier(), tiny.tiny_batch())


def test_a_defense_may_look_at_the_whole_batch_if_it_says_so() -> None:
    check_defense(WholeBatch(), tiny.tiny_linear_classifier(), tiny.tiny_batch(), per_image=False)


BROKEN = [
    (Summed(), "the loss is not the mean of those of two halves"),
    (NotScalar(), "must be a finite scalar"),
    (NotFinite(), "must be a finite scalar"),
    (WithoutGradient(), "no gradient for any parameter"),
    (GlobalNoise(), "the same streams gave a different loss"),
    (NoiseByPosition(), "depends on the order of the images"),
    (WholeBatch(), "the loss is not the mean of those of two halves"),
    (LeftInEvaluation(), "must be left in training mode"),
    (Stepping(), "computing the loss changes parameters: network.1.weight"),
    (Unrepeatable(), "`prepare` gives a different network when it is repeated"),
    (OneLogit(), r"`robust_logits` must be finite and \(B, K\)"),
    (OtherRoute(), "the route 'aux' does not fit the network as it was before"),
    (NoMain(), "`routes` must hold the route 'main'"),
]


@pytest.mark.parametrize(("defense", "message"), BROKEN, ids=lambda thing: type(thing).__name__)
def test_a_broken_promise_is_named(defense: Defense, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_defense(defense, tiny.tiny_linear_classifier(), tiny.tiny_batch())


def test_the_classifier_is_left_as_it_was() -> None:
    classifier = tiny.tiny_linear_classifier()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    check_defense(Plain(), classifier, tiny.tiny_batch())
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    assert all(value.grad is None for value in classifier.parameters())
