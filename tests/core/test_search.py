"""The searches, held to what mathematics knows of a linear classifier."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from granu import Batch, Goal
from granu.classify import ImageClassifier
from granu.pictures import as_png
from granu.search.ledger import Ledger
from granu.search.options import SearchOptions
from granu.search.reach import RIVALS, reach
from granu.search.rounding import FACTORS
from granu.search.searched import Searched
from granu.search.smallest import smallest
from granu.sites import SitePerturbation, StatisticsCache
from granu.spaces import PixelSpace, Space
from granu.streams import Streams
from granu.testing import tiny
from granu.testing.contracts import check_perturbation, check_searchable, check_space
from granu.types import Classifier, Perturbed

COUNT = 9


@pytest.fixture(scope="module")
def batch() -> Batch:
    return tiny.tiny_batch(COUNT)


def nearest_boundary(classifier: ImageClassifier, batch: Batch, dual: float) -> Tensor:
    """Distance to the nearest class boundary of a linear classifier: gap over dual norm, (B,)."""
    weight = classifier.network[1].weight
    logits = classifier(batch.images)
    gaps = logits.gather(1, batch.labels[:, None]) - logits
    slopes = (weight[batch.labels][:, None] - weight[None]).norm(p=dual, dim=2)
    distance = gaps / slopes
    return distance.scatter(1, batch.labels[:, None], math.inf).amin(dim=1)


def test_the_smallest_l2_change_of_a_linear_classifier_is_the_closed_form(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    found, _ = smallest(PixelSpace(classifier, batch.images, "l2"), Goal(batch.labels), steps=100, limit=limits(9))
    exact = nearest_boundary(classifier, batch, 2)
    inside = found.size / exact
    # the box can only make it larger
    assert (inside > 0.999).all() and inside.median() < 1.002


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


class Stepped(nn.Module):
    """A rival that likes a step of 1/255 at every pixel and no more; at the first pixel four times as much."""

    def forward(self, images: Tensor) -> Tensor:
        steps = (images - 128 / 255).flatten(1) * 255
        weight = torch.ones(steps.shape[1]).index_fill(0, torch.tensor([0]), 4.0)
        rival = (weight * steps * (2 - steps)).sum(1)
        return torch.stack([torch.full_like(rival, 8.0), rival], dim=1)


def test_where_no_lengthening_survives_rounding_another_change_is_found() -> None:
    classifier = ImageClassifier(Stepped(), ["a", "b"], channels=1, size=(4, 4))
    space = PixelSpace(classifier, torch.full((2, 1, 4, 4), 128 / 255), "l2")
    goal = Goal(torch.zeros(2, dtype=torch.int64))
    found, lengthened = smallest(space, goal, steps=100, limit=limits(4)[:2])
    assert found.found.all() and found.notes == [None, None] and (lengthened > 1.13).all()
    assert goal.reached(classifier(as_png(space.pictures(found.change)))).all()
    torch.testing.assert_close(found.size, space.size(found.change))
    for factor in FACTORS:  # along the ray of the change before rounding
        ray = torch.full((1, 16), 0.16 / 255).index_fill(1, torch.tensor([0]), 0.62 / 255)
        assert not goal.select(torch.tensor([0])).reached(space.select(torch.tensor([0])).judged_logits(factor * ray))


def test_no_rounding_carries_a_change_beyond_its_limit() -> None:
    space = PixelSpace(
        ImageClassifier(Stepped(), ["a", "b"], channels=1, size=(4, 4)), torch.full((1, 1, 4, 4), 128 / 255), "l2"
    )
    found, lengthened = smallest(space, Goal(torch.tensor([0])), steps=100, limit=torch.tensor([1.2 / 255]))
    assert lengthened.isfinite().all()
    assert not found.found.any() and found.notes == ["what was found is undone by rounding to 8 bits"]
    assert found.tried.item() <= 1.2 / 255 + 1e-6


def test_what_a_search_keeps_holds_no_graph(batch: Batch) -> None:
    space = PixelSpace(tiny.tiny_bent_classifier(), batch.images, "l2")
    found, _ = smallest(space, Goal(batch.labels), steps=10, limit=limits(9))
    assert not any(kept.requires_grad for kept in (found.change, found.size, found.tried))


def test_the_smallest_linf_change_of_a_linear_classifier_is_the_closed_form(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    found, _ = smallest(PixelSpace(classifier, batch.images, "linf"), Goal(batch.labels), steps=100, limit=limits(1))
    inside = found.size / nearest_boundary(classifier, batch, 1)
    assert (inside > 0.98).all() and inside.median() < 1.02


def test_the_smallest_l1_change_of_a_linear_classifier_is_near_the_best_filling(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    found, _ = smallest(PixelSpace(classifier, batch.images, "l1"), Goal(batch.labels), steps=200, limit=limits(64))
    exact = torch.tensor([least_l1(classifier, batch.images[i], int(batch.labels[i])) for i in range(COUNT)])
    ratio = found.size / exact
    assert (ratio > 0.99).all() and ratio.median() < 1.1


def least_l1(classifier: ImageClassifier, image: Tensor, label: int) -> float:
    """Fill the steepest pixels up to their bounds until another class leads: exact for a linear classifier."""
    weight, x = classifier.network[1].weight, image.flatten()
    logits, best = classifier(image[None])[0], math.inf
    for other in range(len(logits)):
        if other == label:
            continue
        w = weight[other] - weight[label]
        room = torch.where(w > 0, 1 - x, x)
        need, spent = float(logits[label] - logits[other]), 0.0
        for i in w.abs().argsort(descending=True).tolist():
            used = min(float(room[i]), need / float(w[i].abs()))
            spent, need = spent + used, need - used * float(w[i].abs())
            if need <= 1e-9:
                best = min(best, spent)
                break
    return best


def limits(value: float) -> Tensor:
    return torch.full((COUNT,), float(value))


def searched(classifier: Classifier, norm: str, **options: object) -> Searched:
    class Pixels:
        unit = norm

        def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
            return PixelSpace(classifier, batch.images, norm)

    return Searched(Pixels(), SearchOptions(**options))  # type: ignore[arg-type]


def perturb(perturbation: Searched, classifier: Classifier, batch: Batch) -> Perturbed:
    return perturbation.perturb(classifier, batch, Goal(batch.labels), Streams(0, batch.ids, "perturb"))


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_pixels_are_a_space_in_order(batch: Batch, norm: str) -> None:
    check_space(PixelSpace(tiny.tiny_bent_classifier(), batch.images, norm), COUNT)


@pytest.mark.parametrize("search", ["smallest", "paper", "worst", "random"])
def test_every_search_keeps_the_contract(batch: Batch, search: str) -> None:
    budget = {"budget": 1.0} if search in ("worst", "random") else {}
    check_perturbation(
        searched(None, "l2", search=search, steps=20, **budget), tiny.tiny_bent_classifier(), batch  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("search", ["smallest", "paper"])
def test_what_was_found_still_fools_when_rounded_to_8_bits(batch: Batch, search: str) -> None:
    classifier = tiny.tiny_bent_classifier()
    result = perturb(searched(classifier, "l2", search=search, steps=400), classifier, batch)
    fooled = classifier(as_png(result.pictures)).argmax(dim=1) != batch.labels
    assert fooled.all()
    assert (result.size > 0).all() and (result.size <= result.tried + 1e-6).all()


def test_smallest_finds_no_more_than_paper_needs(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    ours = perturb(searched(classifier, "l2", steps=100), classifier, batch)
    theirs = perturb(searched(classifier, "l2", search="paper", margin=0.001), classifier, batch)
    assert ours.size.median() < theirs.size.median()


def test_random_changes_of_the_same_size_fool_far_less(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    result = perturb(searched(classifier, "l2"), classifier, batch)
    assert result.control is not None
    by_chance = classifier(as_png(result.control)).argmax(dim=1) != batch.labels
    assert by_chance.sum() <= 2


def test_worst_spends_the_budget_and_no_more(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    exact = nearest_boundary(classifier, batch, 2)
    little, enough = 0.5 * float(exact.min()), 1.1 * float(exact.max())
    held = perturb(searched(classifier, "l2", search="worst", budget=little), classifier, batch)
    assert (classifier(as_png(held.pictures)).argmax(dim=1) == batch.labels).all()
    assert (held.size <= little * 1.001).all() and (held.size > 0.5 * little).all()
    broken = perturb(searched(classifier, "l2", search="worst", budget=enough), classifier, batch)
    assert (classifier(as_png(broken.pictures)).argmax(dim=1) != batch.labels).float().mean() > 0.7


def test_not_found_is_censored_at_the_largest_size_tried(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    result = perturb(searched(classifier, "l2", limit=0.01), classifier, batch)
    assert (result.size == 0).all() and torch.allclose(result.tried, torch.full((COUNT,), 0.01), rtol=0.02)


def test_a_masked_gradient_is_told_and_never_passed_off_as_robust(batch: Batch) -> None:
    bent = tiny.tiny_bent_classifier()

    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return bent((x * 4).round() / 4)

    masked = ImageClassifier(Masked(), tiny.CLASSES, channels=1)
    result = perturb(searched(masked, "l2"), masked, batch)
    assert all(note is not None and "gradient is zero" in note for note in result.notes)


def test_a_search_in_bfloat16_finds_what_holds_in_float32(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    exact = perturb(searched(classifier, "l2"), classifier, batch)
    rough_search = searched(classifier, "l2")
    rough_search.low_precision = True
    rough = perturb(rough_search, classifier, batch)
    assert not torch.equal(rough.size, exact.size), "bfloat16 was not used"
    assert (classifier(as_png(rough.pictures)).argmax(dim=1) != batch.labels).all()
    assert (rough.size / exact.size - 1).abs().max() < 0.1


def test_passes_are_counted_and_finished_pictures_leave_the_batch(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    seen = 0

    class Counting:
        classes = classifier.classes
        layers = classifier.layers

        def __call__(self, images: Tensor) -> Tensor:
            nonlocal seen
            seen += len(images)
            return classifier(images)

    result = perturb(searched(classifier, "l2"), Counting(), batch)
    assert seen == int(result.forward.sum())
    assert result.backward.min() < result.backward.max() <= 100


def test_a_site_is_searched_in_standard_deviations(batch: Batch, tmp_path: object) -> None:
    from pathlib import Path

    generator = tiny.TinyGenerator()
    sites = generator.sites()[:3]
    statistics = StatisticsCache(generator, sites, 200, Path(str(tmp_path)), "cpu")
    for site in sites:
        check_searchable(SitePerturbation(generator, [site], statistics), tiny.tiny_bent_classifier(), batch)
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
    statistics = StatisticsCache(generator, [image], 200, Path(str(tmp_path)), "cpu")
    space = SitePerturbation(generator, [image], statistics).open(
        tiny.tiny_bent_classifier(), batch, Streams(0, batch.ids)
    )
    assert isinstance(space, PixelSpace) and space.norm == "l2"


def test_a_change_that_8_bits_do_not_hold_counts_as_large_as_it_had_to_become() -> None:
    """A picture a hair from the boundary: the change found is far below 1/255, the one judged cannot be."""
    image = torch.full((1, 1, 8, 8), 0.5).mul(255).round().div(255)
    linear = nn.Linear(64, 2)
    weight = torch.ones(2, 64)
    weight[1] = -1
    gap = 2 * float(image.sum())
    linear.load_state_dict({"weight": weight, "bias": torch.tensor([0.02 - gap, 0.0])})
    classifier = ImageClassifier(nn.Sequential(nn.Flatten(), linear), ("a", "b"), channels=1)
    near = Batch(image, torch.tensor([0]), ("near",))
    result = perturb(searched(classifier, "linf"), classifier, near)
    assert classifier(as_png(result.pictures)).argmax(dim=1) != 0
    found, needed = 0.021 / 128, 0.5 / 255  # rounding makes a whole step of the second
    assert result.extra is not None and 1 < result.extra["lengthened"][0] / (needed / found) < 1.06
    assert torch.isclose(result.size, torch.tensor(1 / 255), rtol=1e-4)
