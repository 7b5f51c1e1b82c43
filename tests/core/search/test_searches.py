"""Promises of every search: contracts, budgets, censoring, passes, precision, sites."""

from __future__ import annotations

import pytest
import torch
from searching import COUNT, limits, nearest_boundary, perturb, run, searched, shown
from torch import Tensor, nn

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.images.ops import quantize
from granu.search.options import SEARCHES
from granu.spaces.base import PixelSpace
from granu.spaces.samples import DrawnSamples
from granu.spaces.site_statistics import StatisticsCache
from granu.spaces.sites import SitePerturbation
from granu.streams import Streams
from granu.testing import tiny
from granu.testing.contracts import check_perturbation, check_space, check_space_factory


def test_results_hold_no_graph(batch: Batch) -> None:
    space = PixelSpace(tiny.tiny_bent_classifier(), batch.images, "l2")
    found = run("smallest", space, Criterion(batch.labels), steps=10, limit=9.0)
    assert not any(kept.requires_grad for kept in (found.change, found.size, found.tried))


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_pixels_are_a_space_in_order(batch: Batch, norm: str) -> None:
    check_space(PixelSpace(tiny.tiny_bent_classifier(), batch.images, norm), COUNT)


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_keeps_the_contract(batch: Batch, search: str) -> None:
    budget = {"budget": 1.0} if search in ("worst", "pgd", "random") else {}
    steps = {} if search == "worst" else {"steps": 20}
    check_perturbation(searched("l2", search, **steps, **budget), tiny.tiny_bent_classifier(), batch)


def test_smallest_finds_smaller_changes_than_dunn2020(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    ours = perturb(searched("l2", steps=100), classifier, batch)
    theirs = perturb(searched("l2", "dunn2020", margin=0.001), classifier, batch)
    assert ours.size.median() < theirs.size.median()


def test_random_changes_of_the_same_size_succeed_far_less(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    result = perturb(searched("l2"), classifier, batch)
    by_chance = classifier(quantize(shown(result.control))).argmax(dim=1) != batch.labels
    assert by_chance.sum() <= 2


@pytest.mark.parametrize("search", ["worst", "pgd"])
def test_a_budget_is_spent_and_not_exceeded(batch: Batch, search: str) -> None:
    classifier = tiny.tiny_linear_classifier()
    exact = nearest_boundary(classifier, batch, 2)
    little, enough = 0.5 * float(exact.min()), 1.1 * float(exact.max())
    held = perturb(searched("l2", search, budget=little), classifier, batch)
    assert (classifier(quantize(shown(held.evidence))).argmax(dim=1) == batch.labels).all()
    assert (held.size <= little * 1.001).all() and (held.size > 0.5 * little).all()
    broken = perturb(searched("l2", search, budget=enough), classifier, batch)
    assert (classifier(quantize(shown(broken.evidence))).argmax(dim=1) != batch.labels).float().mean() > 0.7


def test_not_found_is_censored_at_the_largest_size_tried(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    result = perturb(searched("l2", limit=0.01), classifier, batch)
    assert (result.size == 0).all() and torch.allclose(result.tried, torch.full((COUNT,), 0.01), rtol=0.02)


@pytest.mark.parametrize("search", ["smallest", "deepfool", "dunn2020"])
def test_a_masked_gradient_is_noted_and_never_reported_as_robust(batch: Batch, search: str) -> None:
    bent = tiny.tiny_bent_classifier()

    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return bent((x * 4).round() / 4)

    masked = ImageClassifier(Masked(), tiny.CLASSES, channels=1)
    result = perturb(searched("l2", search), masked, batch)
    assert all(note is not None and "gradient is zero" in note for note in result.notes)


def test_a_search_in_bfloat16_finds_what_holds_in_float32(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    exact = perturb(searched("l2"), classifier, batch)
    rough_search = searched("l2")
    rough_search.low_precision = True
    rough = perturb(rough_search, classifier, batch)
    assert not torch.equal(rough.size, exact.size), "bfloat16 was not used"
    assert (classifier(quantize(shown(rough.evidence))).argmax(dim=1) != batch.labels).all()
    assert (rough.size / exact.size - 1).abs().max() < 0.1


def test_passes_are_counted_and_finished_images_leave_the_batch(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    seen = 0

    class Counting:
        classes = classifier.classes
        layers = classifier.layers

        def __call__(self, images: Tensor) -> Tensor:
            nonlocal seen
            seen += len(images)
            return classifier(images)

    result = perturb(searched("l2"), Counting(), batch)
    assert seen == int(result.forward.sum())
    assert result.backward.min() < result.backward.max() <= 100


def test_a_site_is_searched_in_standard_deviations(batch: Batch, tmp_path: object) -> None:
    from pathlib import Path

    generator = tiny.TinyGenerator()
    sites = generator.sites()[:3]
    statistics = StatisticsCache(DrawnSamples(generator, 200, "cpu"), sites, Path(str(tmp_path)))
    for site in sites:
        check_space_factory(SitePerturbation(generator, [site], statistics), tiny.tiny_bent_classifier(), batch)
    both = SitePerturbation(generator, sites[1:], statistics)
    space = both.open(tiny.tiny_bent_classifier(), batch, Streams(0, batch.ids))
    check_space(space, COUNT)
    change = space.draw(limits(1.0), Streams(0, batch.ids))
    parts = change.split([16, 32], dim=1)
    total = sum(part.square().sum(dim=1) for part in parts)
    assert torch.allclose(total, space.size(change).square() * 48, rtol=1e-4)  # squares of the parts add up


def test_the_image_site_is_the_pixel_space_itself(batch: Batch, tmp_path: object) -> None:
    from pathlib import Path

    generator = tiny.TinyGenerator()
    image = generator.sites()[-1]
    statistics = StatisticsCache(DrawnSamples(generator, 200, "cpu"), [image], Path(str(tmp_path)))
    space = SitePerturbation(generator, [image], statistics).open(
        tiny.tiny_bent_classifier(), batch, Streams(0, batch.ids)
    )
    assert isinstance(space, PixelSpace) and space.norm == "l2"
