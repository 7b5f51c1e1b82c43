"""`search=worst`: exact on classifiers whose boundary is known, kept budgets, counted passes, and each of its parts."""

from __future__ import annotations

import pytest
import torch
from searching import COUNT, Line, lead, line, nearest_boundary, perturb, run, searched, shown, zeros
from torch import Tensor

from granu import Batch, Criterion, OptionError, quantize
from granu.images.classifier import ImageClassifier
from granu.search.apgd import auto_pgd
from granu.search.ensemble import EFFORTS, Descent, Effort, FromFar, Targeted
from granu.search.fab import DRAWS, HALVINGS, from_far
from granu.search.objectives import cross_entropy, lead_over, logits_ratio, margin
from granu.search.random_search import random_search, share
from granu.search.state import NO_GRADIENT, SearchState
from granu.spaces.base import PixelSpace, Space
from granu.streams import Streams
from granu.testing import tiny

IDS = [f"tiny#{i}" for i in range(COUNT)]


def test_a_linear_classifier_is_fooled_beyond_its_distance_and_not_before(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    exact = nearest_boundary(classifier, batch, 2)
    for i in (0, 5):
        for factor, fooled in ((0.97, False), (1.06, True)):  # rounding to 8 bits moves the boundary by a few per cent
            assert fools(classifier, batch, i, "l2", factor * float(exact[i])) == fooled, (i, factor)


def test_at_l_infinity_a_linear_classifier_is_fooled_from_the_very_step_of_8_bits_on(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    for i in (1, 2):
        needed = next(steps for steps in range(1, 256) if can_fool(classifier, batch, i, steps / 255))
        assert fools(classifier, batch, i, "linf", needed / 255, "standard")
        assert needed == 1 or not fools(classifier, batch, i, "linf", (needed - 1) / 255, "standard")


def fools(classifier: ImageClassifier, batch: Batch, i: int, norm: str, budget: float, effort: str = "quick") -> bool:
    """True if `worst` finds a change of the `i`th image, as an 8-bit image."""
    alone = batch.select(torch.tensor([i]))
    result = perturb(searched(norm, "worst", budget=budget, effort=effort), classifier, alone)
    return bool((classifier(quantize(shown(result.evidence))).argmax(dim=1) != alone.labels).item())


@torch.no_grad()
def can_fool(classifier: ImageClassifier, batch: Batch, i: int, budget: float) -> bool:
    """The same by moving every pixel as far as it helps each class, which is best for a linear classifier."""
    weight, label = classifier.network[1].weight, int(batch.labels[i])
    image = batch.images[i].flatten()
    for target in range(len(weight)):
        changed = (
            (image + budget * (weight[target] - weight[label]).sign()).clamp(0, 1).view(batch.images[i : i + 1].shape)
        )
        if Criterion(batch.labels[i : i + 1], 1e-3).reached(classifier(quantize(changed))).item():
            return True
    return False


def test_without_gradients_it_is_the_random_search_alone(batch: Batch) -> None:
    classifier = tiny.tiny_linear_classifier()
    for i, budget in ((0, 1e-3), (5, 0.9)):
        alone = batch.select(torch.tensor([i]))
        result = perturb(searched("linf", "worst", budget=max(budget, 1 / 255), gradients=False), classifier, alone)
        assert result.backward.item() == 0 and result.forward.item() <= EFFORTS["standard"].trials + 1
        assert result.notes == (None,)  # no gradient was looked at, so none is said to be masked
    assert (classifier(quantize(shown(result.evidence))).argmax(dim=1) != alone.labels).all()


class Ellipsoid(Space):
    """The label leads by 1 - sum(a_i x_i^2), so the nearest boundary is 1 / sqrt(max a) away, along one axis."""

    has_images = False
    unit = "length"

    def __init__(self, curvature: Tensor) -> None:
        super().__init__(lambda images: images, torch.zeros(1, 1, 1, 1), len(curvature))
        self.curvature = curvature

    def forward(self, change: Tensor) -> Tensor:
        ahead = 1 - (self.curvature * change.square()).sum(dim=1)
        return torch.stack([ahead, torch.zeros_like(ahead)], dim=1)

    def size(self, change: Tensor) -> Tensor:
        return change.norm(dim=1)


@pytest.mark.parametrize("effort", ["quick", "standard"])
def test_a_quadratic_classifier_is_fooled_exactly_beyond_its_distance(effort: str) -> None:
    curvature = torch.linspace(0.5, 4, 8)
    for budget, found in ((0.499, False), (0.51, True)):
        result = run("worst", Ellipsoid(curvature), Criterion(zeros(1)), budget=budget, effort=effort, margin=0.0)
        assert result.found.item() is found
        assert result.size.item() <= budget * (1 + 1e-5) or not found
        assert result.tried.item() == pytest.approx(budget)


def test_a_file_keeps_the_budget_that_was_asked_for() -> None:
    images = quantize(torch.rand(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    space = PixelSpace(lambda x: torch.stack([x.flatten(1).sum(1), 0 * x[:, 0, 0, 0]], 1), images, "linf")
    result = run("worst", space, Criterion(zeros(COUNT)), budget=0.3, effort="quick")
    assert 76 / 255 - 1e-6 <= space.size(space.quantized(result.change)).max() <= 0.3
    assert result.tried.tolist() == pytest.approx([0.3] * COUNT)
    for search in ("pgd", "random"):
        assert space.size(space.quantized(run(search, space, Criterion(zeros(COUNT)), budget=0.3).change)).max() <= 0.3


@pytest.mark.parametrize(("steps", "kept"), [(1, 1), (8, 8), (76.9, 76), (254.99999, 255)])
def test_whole_steps_of_8_bits_are_whole(steps: float, kept: int) -> None:
    space = PixelSpace(lambda x: x.flatten(1), torch.zeros(1, 1, 2, 2), "linf")
    assert (space.storable(torch.tensor([steps / 255])) * 255).item() == pytest.approx(kept, abs=1e-4)
    assert PixelSpace(lambda x: x, torch.zeros(1, 1, 2, 2), "l2").storable(torch.tensor([0.3])).item() == pytest.approx(
        0.3
    )


@pytest.mark.parametrize("search", ["worst", "pgd", "random"])
def test_a_budget_below_one_step_of_8_bits_is_refused(search: str) -> None:
    space = PixelSpace(lambda x: x.flatten(1), torch.zeros(2, 1, 2, 2), "linf")
    with pytest.raises(OptionError, match=r"^budget=0.0039 is less than one step of 8-bit images, .*; take 1/255 "):
        run(search, space, Criterion(zeros(2)), budget=0.0039)


def test_an_images_result_and_passes_do_not_depend_on_the_others(batch: Batch) -> None:
    classifier = tiny.tiny_bent_classifier()
    budget = float(perturb(searched("l2"), classifier, batch).size.median())
    together = perturb(searched("l2", "worst", budget=budget, effort="quick"), classifier, batch)
    assert together.forward.unique().numel() > 2, "another budget would show more"
    for i in (0, 8):
        alone = perturb(
            searched("l2", "worst", budget=budget, effort="quick"), classifier, batch.select(torch.tensor([i]))
        )
        assert (alone.forward.item(), alone.backward.item()) == (
            together.forward[i].item(),
            together.backward[i].item(),
        )
        torch.testing.assert_close(shown(alone.evidence)[0], shown(together.evidence)[i], atol=1e-4, rtol=0)


def test_what_rounding_undoes_is_not_found() -> None:
    class Undone(Line):
        def judged_logits(self, change: Tensor) -> Tensor:
            return super().judged_logits(0 * change)

    result = run("worst", Undone(lead(lambda x: 1 - x)), Criterion(zeros(1)), budget=2.0, effort="quick")
    assert not result.found.any() and result.change.abs().item() == pytest.approx(2) and result.notes == (None,)


def test_masked_gradients_are_passed_from_the_far_side() -> None:
    """The label's lead is flat but for a tiny slope away from the boundary, up to a cliff at 1; behind it, it falls."""

    def ahead(x: Tensor) -> Tensor:
        return torch.where(x.abs() < 1, 2 + 1e-3 * x.abs(), 0.5 - x.abs())

    assert not run("pgd", Line(lead(ahead)), Criterion(zeros(1)), budget=1.05).found.any()
    assert run("worst", Line(lead(ahead)), Criterion(zeros(1)), budget=1.05, effort="quick").found.all()


def test_without_any_gradient_a_note_says_so_and_random_search_still_runs() -> None:
    flat = Line(lead(lambda x: 1 + 0 * x))
    held = run("worst", flat, Criterion(zeros(1)), budget=2.0, effort="quick")
    assert held.notes == (NO_GRADIENT,) and not held.found.any()
    cliff = Line(lead(lambda x: torch.where(x.abs() > 1.9, -1.0, 1.0) + 0 * x))
    found = run("worst", cliff, Criterion(zeros(1)), budget=2.0, effort="quick")
    assert found.found.all() and found.notes == (None,)


def test_a_space_without_gradients_is_searched_at_random() -> None:
    class Hidden(Line):
        differentiable = False

    space = Hidden(lead(lambda x: 1 - x))
    found = run("worst", space, Criterion(zeros(1)), budget=2.0, effort="quick")
    assert found.found.all() and not space.visited and found.backward.item() == 0
    held = run("worst", Hidden(lead(lambda x: 3 - x)), Criterion(zeros(1)), budget=2.0, effort="quick")
    assert held.change.item() == pytest.approx(2) and held.forward.item() == EFFORTS["quick"].trials


def test_an_effort_costs_the_passes_that_the_documentation_names() -> None:
    """Without judged crossings, which cost one pass each, or two."""
    held = run("worst", Line(lead(lambda x: 9 - x)), Criterion(zeros(1)), budget=2.0, effort="quick")
    assert 120 < held.forward.item() + held.backward.item() <= 150
    for effort, most in (("quick", 150), ("standard", 1150), ("thorough", 4200)):
        assert 0.85 * most < longest(EFFORTS[effort]) <= most


def longest(effort: Effort) -> int:
    """Forward and backward passes of an image of ten classes that holds, judgements left out."""
    passes = effort.trials
    for part in effort.runs:
        match part:
            case Descent(_, steps):
                passes += 2 * (steps + 1)
            case Targeted(classes, steps):
                passes += 1 + classes * 2 * (steps + 1)
            case FromFar(steps, descent):
                passes += 2 * (steps + descent + 1) + DRAWS + HALVINGS
    return passes


# its parts


def visit_nothing(state: SearchState) -> None:
    return


def test_auto_pgd_halves_its_step_where_it_overshoots() -> None:
    state = line(lead(lambda x: (x - 0.3).abs() + 1))
    seen: list[float] = []
    start = torch.tensor([[2.0]])
    auto_pgd(
        state, torch.tensor([2.0]), steps=60, start=start, objective=margin,
        visit=lambda state: seen.append(state.working.x.item()),
    )  # fmt: skip
    assert len(seen) == 61 == state.forward.item() == state.backward.item()
    assert abs(seen[1] - seen[0]) > 1 and min(abs(x - 0.3) for x in seen) < 0.02
    assert state.working.least.item() == pytest.approx(1, abs=0.02) and abs(seen[-1] - seen[-2]) < 0.2


def test_fab_comes_back_from_a_far_crossing_to_the_boundary() -> None:
    state = line(lead(lambda x: 1.5 - x.abs() + 0.1 * torch.sin(4 * x)), 0.0, 0.0, margin=1e-3)
    nearest = from_far(state, torch.tensor([1.0, 1.0]), steps=40, visit=visit_nothing)
    assert ((nearest.abs() > 1.35) & (nearest.abs() < 1.65)).all()
    assert state.backward.tolist() == [40, 40] and (state.forward <= 40 + 4 + 8).all()


def test_fab_starts_within_the_budget_where_nothing_far_crosses() -> None:
    state = line(lead(lambda x: 1 + 0 * x))
    nearest = from_far(state, torch.tensor([1.0]), steps=5, visit=visit_nothing)
    assert nearest.abs().item() <= 1 and state.forward.item() == 4 + 1  # draws, and one pass without a gradient


def test_random_search_fills_the_budget_and_only_improves(batch: Batch) -> None:
    for norm in ("l2", "linf", "l1"):
        space = PixelSpace(tiny.tiny_bent_classifier(), batch.images, norm)
        state = SearchState(space, Criterion(batch.labels), Streams(0, IDS))
        budget = torch.full((COUNT,), {"l2": 0.2, "linf": 8 / 255, "l1": 1.0}[norm])
        random_search(state, budget, trials=30, start=space.start())
        assert (space.size(state.change) <= budget * (1 + 1e-4)).all()
        held = ~state.found
        before, after = (state.criterion.objective(space.judged_logits(x)) for x in (space.start(), state.change))
        assert (after <= before).all() and (after[held] < before[held]).any()
        assert (state.forward[held] == 30).all() and not state.backward.any()


def test_patches_shrink_and_are_of_size_1(batch: Batch) -> None:
    assert [share(p) for p in (0, 0.01, 0.5, 1)] == pytest.approx([0.8, 0.2, 0.8 / 128, 0.8 / 512])
    for space in (PixelSpace(tiny.tiny_bent_classifier(), batch.images, "l2"), Ellipsoid(torch.ones(64))):
        few, many = (space.patch(part, Streams(0, IDS[: len(space.clean)])) for part in (0.05, 0.6))
        torch.testing.assert_close(space.size(few), torch.ones(len(few)))
        assert ((few != 0).sum(1) < (many != 0).sum(1)).all() and ((few != 0).sum(1) >= 1).all()


def test_objectives_agree_on_the_boundary_and_differ_in_scale() -> None:
    criterion = Criterion(torch.tensor([0, 0]))
    logits = torch.tensor([[3.0, 1, 2, 0], [300.0, 100, 200, 0]])
    assert margin(logits, criterion).tolist() == [1, 100]
    assert logits_ratio(logits, criterion).tolist() == pytest.approx([0.5, 0.5])
    assert lead_over(logits, criterion, torch.tensor([3, 1])).tolist() == [3, 200]
    certain = logits.clone().requires_grad_()
    cross_entropy(certain, criterion).sum().backward()
    assert certain.grad is not None and certain.grad[1].abs().max() == 1  # the cross-entropy's is zero there
    two = torch.tensor([[3.0, 1.0]])
    assert logits_ratio(two, Criterion(zeros(1))).item() == 2
