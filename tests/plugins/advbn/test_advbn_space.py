"""The perturbation `advbn`: each image's own statistics, within bounds, searched and judged inside the classifier."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from advbn_networks import Plain, Residual, Tokens, classifier_of, defense, make_images, make_step
from torch import nn

import granu
from granu import Batch, BuildContext, Criterion, ImageClassifier, OptionError, Streams, load_catalog
from granu.plugins.spec import parse_spec
from granu.search.options import read_search
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search
from granu.testing import check_perturbation, check_space_factory

IMAGES = make_images(torch.Generator().manual_seed(2), 6)


def perturbation(spec: str) -> Any:
    return BuildContext(load_catalog()).build("perturbation", spec)


def setting(make: type[nn.Module] = Plain) -> tuple[ImageClassifier, Batch]:
    classifier = classifier_of(make()).eval().requires_grad_(False)
    ids = tuple(f"image#{i}" for i in range(len(IMAGES)))
    return classifier, Batch(IMAGES, classifier(IMAGES).argmax(1), ids)


@pytest.mark.parametrize(("make", "layer"), [(Plain, "layer1"), (Residual, "deep1"), (Tokens, "blocks.0")])
@pytest.mark.parametrize("options", ["", ",mean=sigma,min-scale=0", ",epsilon=0.3"])
def test_its_space_keeps_the_contract(make: type[nn.Module], layer: str, options: str) -> None:
    classifier, batch = setting(make)
    check_space_factory(perturbation(f"advbn:{layer}{options}"), classifier, batch)


def test_no_change_gives_the_very_logits() -> None:
    classifier, batch = setting()
    space = perturbation("advbn:layer1").open(classifier, batch, Streams(0, batch.ids))
    assert torch.equal(space.exact_logits(space.start()), classifier(batch.images))


def test_sizes_are_the_largest_change_of_a_multiplier() -> None:
    classifier, batch = setting()
    space = perturbation("advbn:layer1,epsilon=0.9,min-scale=0.5").open(classifier, batch, Streams(0, batch.ids))
    change = space.start()
    assert change.shape == (6, 16)
    change[:, 3], change[:, 12] = -0.2, 0.1
    torch.testing.assert_close(space.size(change), torch.full((6,), 0.2))
    assert (space.limit() == 0.9).all()
    far = space.within(change * 100, torch.full((6,), 50.0))
    assert far.abs().max() == torch.tensor(0.9)
    assert space.within(-change.abs() * 100, torch.full((6,), 50.0))[:, 12].unique() == -0.5


def test_the_statistics_of_each_image_are_multiplied() -> None:
    classifier, batch = setting()
    space = perturbation("advbn:layer1.1").open(classifier, batch, Streams(0, batch.ids))
    seen = []
    handle = classifier.layer("layer1.1").register_forward_hook(lambda module, inputs, output: seen.append(output))
    change = space.draw(torch.full((6,), 0.8), Streams(1, batch.ids))
    space.forward(change)
    classifier(batch.images)
    handle.remove()
    changed, clean = (features.flatten(2) for features in seen)
    torch.testing.assert_close(changed.mean(2), clean.mean(2) * (1 + change[:, :8]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(changed.std(2), clean.std(2) * (1 + change[:, 8:]).abs(), atol=1e-5, rtol=1e-4)


def test_a_search_finds_changes_within_the_bounds_and_is_judged_inside() -> None:
    classifier, batch = setting()
    result = granu.attack(classifier, batch.images, batch.labels, "advbn:layer1,epsilon=1.1,steps=40")
    assert result.unit == "largest change of a multiplier" and int(result.found.sum()) >= 3
    assert (result.sizes[result.found] <= 1.1).all()
    assert {trial.evidence for trial in result.trials} == {"classifier"}
    assert torch.equal(result.images, batch.images)


def test_the_worst_change_is_worse_than_chance_of_equal_size() -> None:
    classifier, batch = setting()
    space = perturbation("advbn:layer1").open(classifier, batch, Streams(0, batch.ids))
    criterion, budget = Criterion(batch.labels), torch.full((6,), 1.1)
    worst = searched("search=pgd,budget=1.1,steps=6").search.run(space, criterion, Streams(0, batch.ids))
    for number in range(20):
        change = space.draw(budget, Streams(number, batch.ids))
        chance = criterion.objective(space.exact_logits(change)).mean()
        assert criterion.objective(space.exact_logits(worst.change)).mean() < chance


@pytest.mark.parametrize("search", ["search=pgd,budget=1.1,steps=6", "search=smallest,steps=20"])
def test_results_do_not_depend_on_the_batch(search: str) -> None:
    check_perturbation(searched(search), *setting())


def searched(search: str) -> SearchedPerturbation:
    name, options = read_search(dict(part.split("=") for part in search.split(",")), search)
    return SearchedPerturbation(perturbation("advbn:layer1"), make_search(name, options))


def test_classifiers_in_turn_are_cut_each_on_their_own() -> None:
    factory = perturbation("advbn:layer1")
    for seed in (0, 1, 0):
        classifier = classifier_of(Plain(), seed).eval()
        batch = Batch(IMAGES, classifier(IMAGES).argmax(1), tuple(map(str, range(6))))
        check_space_factory(factory, classifier, batch)


AUTOCASTS = [nullcontext, lambda: torch.autocast("cpu", torch.bfloat16)]


@pytest.mark.parametrize("autocast", AUTOCASTS)
def test_adversarial_training_reaches_all_of_the_network(autocast: Callable[[], AbstractContextManager[None]]) -> None:
    classifier = classifier_of(Plain())
    adversarial = defense("adversarial:advbn:layer1,budget=1.1,steps=2,warmup=0")
    adversarial.prepare(classifier)
    with autocast():
        loss = adversarial.loss(make_step(classifier))
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in classifier.parameters())
    counts = [buffer for name, buffer in classifier.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts == [1, 1, 1]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("advbn", "needs the module behind which features are changed"),
        ("advbn:layer1,epsilon=0", "epsilon=0 leaves nothing to search"),
    ],
)
def test_options_that_make_no_sense_are_refused(spec: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        resolved = load_catalog().resolve("perturbation", parse_spec(spec))
        resolved.offer.check(resolved.options, None)  # type: ignore[union-attr, misc, arg-type]
