"""The defenses `prime` and `augmix`: what a step minimises, alone and before another defense."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from granu import BuildContext, Defense, ImageClassifier, OptionError, Streams, TrainingStep, load_catalog
from granu.plugins.spec import parse_spec
from granu.testing import check_defense, tiny
from granu_prime import PrimeOptions
from granu_prime.consistency import jensen_shannon
from granu_prime.families import Prime


def build(spec: str) -> Any:
    """The defense of a spec, checked as the command line checks it."""
    context = BuildContext(load_catalog())
    resolved = context.catalog.resolve("defense", parse_spec(spec))
    if resolved.offer.check is not None:
        resolved.offer.check(resolved.options, context)
    return resolved.offer.make(resolved.options, context)


def a_step(count: int = 6, side: int = 12, following: tuple[Defense, ...] = ()) -> TrainingStep:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip
    classifier = ImageClassifier(network, ("a", "b", "c"), mean=(0.5,), std=(0.25,))
    classifier.train()
    streams = Streams(0, [str(i) for i in range(count)], "train/0")
    labels = torch.arange(count) % 3
    return TrainingStep(classifier, torch.rand(count, 3, side, side), labels, streams, 0, 0.0, following)


class Recorder(Defense):
    """Keep the images that arrive."""

    def loss(self, step: TrainingStep) -> Tensor:
        self.images = step.images
        return step.rest(step.images)


def test_the_divergence_is_the_one_computed_by_hand() -> None:
    views = [torch.randn(5, 4) for _ in range(3)]
    p = [torch.softmax(logits.double(), dim=1) for logits in views]
    average = (p[0] + p[1] + p[2]) / 3
    each = [(q * (q.log() - average.log())).sum(dim=1) for q in p]
    expected = torch.stack(each).mean()
    torch.testing.assert_close(jensen_shannon(views).double(), expected, rtol=1e-5, atol=1e-7)
    assert jensen_shannon([views[0]] * 3).abs() < 1e-6
    certain = [torch.tensor([[1000.0, 0.0]]), torch.tensor([[0.0, 1000.0]])]
    torch.testing.assert_close(jensen_shannon(certain), torch.tensor(2.0).log())


@pytest.mark.parametrize("name", ["prime", "augmix"])
def test_without_jsd_the_loss_is_the_cross_entropy_of_augmented_images(name: str) -> None:
    defense, step = build(f"{name}:jsd=no"), a_step()
    augmented = defense.augment(step.images, step.streams.scope(name))
    assert not torch.equal(augmented, step.images)
    expected = F.cross_entropy(copy.deepcopy(step.classifier)(augmented), step.labels)
    torch.testing.assert_close(defense.loss(step), expected)


@pytest.mark.parametrize("name", ["prime", "augmix"])
def test_with_jsd_three_views_pass_in_one_batch(name: str) -> None:
    defense, step = build(f"{name}:weight=5"), a_step()
    noise = step.streams.scope(name)
    views = torch.cat((step.images, *(defense.augment(step.images, noise) for _ in range(2))))
    clean, one, two = copy.deepcopy(step.classifier)(views).chunk(3)
    assert not torch.equal(views[6:12], views[12:])
    expected = F.cross_entropy(clean, step.labels) + 5 * jensen_shannon((clean, one, two))
    batches: list[int] = []
    step.classifier.network[0].register_forward_hook(lambda _, inputs, x: batches.append(len(x)))  # type: ignore[index]
    torch.testing.assert_close(defense.loss(step), expected)
    assert batches == [18]


@pytest.mark.parametrize(("jsd", "clean"), [("", False), ("jsd=no", False), ("jsd=yes", True)])
def test_the_defense_behind_receives_augmented_images_or_with_jsd_clean_ones(jsd: str, clean: bool) -> None:
    recorder = Recorder()
    step = a_step(following=(recorder,))
    build(f"prime:{jsd}" if jsd else "prime").loss(step)
    assert torch.equal(recorder.images, step.images) == clean


def test_with_jsd_the_loss_behind_and_the_divergence_are_added() -> None:
    defense, step = build("prime:jsd=yes,weight=3"), a_step(following=(Recorder(),))
    step.classifier.eval()  # so that the two passes do not depend on each other's batch
    noise = step.streams.scope("prime")
    views = [step.images, *(defense.augment(step.images, noise) for _ in range(2))]
    logits = [step.classifier(view) for view in views]
    expected = F.cross_entropy(logits[0], step.labels) + 3 * jensen_shannon(logits)
    torch.testing.assert_close(defense.loss(step), expected)


@pytest.mark.parametrize("spec", ["prime:weight=1", "prime:jsd=no", "augmix:weight=1"])
def test_a_few_steps_lower_the_loss(spec: str) -> None:
    defense, step = build(spec), a_step(12)
    images = step.labels[:, None, None, None] / 3 + 0.1 * step.images  # brightness tells the class
    parameters = list(step.classifier.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    losses = []
    for number in range(40):
        streams = Streams(0, [str(i) for i in range(12)], f"train/{number}")
        loss = defense.loss(replace(step, images=images, streams=streams, number=number))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("spec", ["prime", "prime:jsd=no", "prime:preset=imagenet", "augmix"])
def test_the_defense_keeps_the_contract(spec: str) -> None:
    check_defense(build(spec), tiny.tiny_linear_classifier(), tiny.tiny_batch())


def test_robust_logits_are_those_of_augmented_images() -> None:
    defense, step = build("prime"), a_step()
    step.classifier.eval()
    expected = step.classifier(defense.augment(step.images, step.streams.scope("prime")))
    torch.testing.assert_close(defense.robust_logits(step), expected)


def test_presets_follow_the_size_of_the_images() -> None:
    colour, spatial = Prime(PrimeOptions(primitives=("colour", "spatial"))).mixture((80, 32)).primitives
    assert (colour.cut, colour.temperature, colour.band, spatial.cut) == (100, 0.01, 0, 100)  # type: ignore[attr-defined]
    colour, spatial = Prime(PrimeOptions(primitives=("colour", "spatial"))).mixture((200, 300)).primitives
    assert (colour.cut, colour.temperature, colour.band, spatial.cut) == (500, 0.05, 20, 500)  # type: ignore[attr-defined]
    (colour,) = Prime(PrimeOptions(primitives=("colour",), preset="imagenet", colour_band=0)).mixture((8, 8)).primitives
    assert (colour.cut, colour.band) == (500, 0)  # type: ignore[attr-defined]
    (spectral,) = Prime(PrimeOptions(primitives=("spectral",), sigma=2, legacy_offset=True)).mixture((8, 8)).primitives
    assert (spectral.sigma, spectral.legacy_offset) == (2, True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("prime:primitives=spectral+color", "did you mean 'colour'"),
        ("prime:kernel=4", "choose an odd number, such as 5"),
        ("prime:kernel=1", "out of range"),
        ("prime:warp-cut=2", "out of range"),
        ("prime:preset=cifar10", "did you mean 'cifar'"),
        ("augmix:severity=11", "out of range"),
        ("augmix:jsd=perhaps", "neither true nor false"),
    ],
)
def test_mistakes_are_one_sentence(spec: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build(spec)


def test_primitives_can_be_chosen() -> None:
    assert len(build("prime:primitives=spectral+colour").augment.mixture((8, 8)).primitives) == 2
