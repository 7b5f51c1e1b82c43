"""`smallest` step by step on a line, where its norm follows from the formulas alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from searching import Line, lead, run, zeros
from torch import Tensor

from granu import Criterion
from granu.search.result import SearchResult
from granu.spaces.base import Space

NO_GRADIENT = "the gradient is zero or not finite; the classifier may mask it"


def smallest(space: Space, **options: float) -> SearchResult:
    return run("smallest", space, Criterion(zeros(1)), **{"margin": 0.0, **options})


def visits(function: Callable[[Tensor], Tensor], **options: float) -> list[float]:
    space = Line(lead(function))
    smallest(space, **options)
    return sum(space.visited, [])


def annealed(start: float, end: float, step: int, steps: int) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * step / steps)) / 2


def test_the_norm_jumps_to_the_boundary_and_then_closes_in_by_a_share_that_shrinks() -> None:
    gamma = [annealed(0.05, 0.001, t, 5) for t in range(5)]
    out = 1 + gamma[1]  # at 1 the label does not lose yet
    expected = [0, 1, out, out * (1 - gamma[2]), out * (1 - gamma[2]) * (1 - gamma[3])]
    assert visits(lambda x: 1 - x, steps=5) == pytest.approx(expected, rel=1e-5)


def test_the_boundary_is_where_the_label_loses_by_the_margin() -> None:
    assert visits(lambda x: 1 - 2 * x, steps=2, margin=1.0) == pytest.approx([0, 1])
    found = smallest(Line(lead(lambda x: 1 - 2 * x)), steps=3, margin=1.0)
    assert found.size.item() == pytest.approx(
        1 + annealed(0.05, 0.001, 1, 3)
    )  # a lead of just the margin is not enough


def test_where_nothing_is_found_the_norm_grows_by_a_share_at_least_and_to_double_at_most() -> None:
    gamma = [annealed(0.05, 0.001, t, 4) for t in range(4)]
    assert visits(lambda x: 1 / (1 + x) - 0.05, steps=3)[1:] == pytest.approx([0.95, 1.9])  # boundary: 2.71
    # behind the first step the label leads by little, so that the boundary is very near
    near = visits(lambda x: torch.where(x < 1, 1 - x, 1e-6 - 1e-3 * (x - x.detach())), steps=4)
    expected = [1, 1 + gamma[1], (1 + gamma[1]) * (1 + gamma[2])]
    assert near[1:] == pytest.approx(expected, abs=2e-3) and near[2] > expected[1] - 1e-6


def test_the_first_step_is_limited_by_the_space_or_the_option_alone() -> None:
    assert visits(lambda x: 100 - x, steps=3) == pytest.approx([0, 10, 10])
    assert visits(lambda x: 100 - x, steps=3, limit=3.0) == pytest.approx([0, 3, 3])
    assert visits(lambda x: 100 - x, steps=3, limit=30.0) == pytest.approx([0, 10, 10])


def test_nothing_found_is_censored_at_the_limit_and_takes_every_step() -> None:
    space = Line(lead(lambda x: 100 - x))
    found = smallest(space, steps=40, limit=3.0)
    assert not found.found.any() and found.tried.item() == pytest.approx(3) and found.notes == (None,)
    assert found.forward.item() == found.backward.item() == 40
    assert not space.judged and found.extra == {}


def test_an_image_leaves_after_a_quarter_of_the_steps_without_an_improvement() -> None:
    """The label loses from x = 1 on; the second visit finds that, and no later one improves it."""
    found = smallest(Line(lead(lambda x: torch.where(x < 1, 1 - x, -x))), steps=40)
    assert found.size.item() == 1
    assert found.forward.item() == found.backward.item() == 2 + 10


def test_improvements_by_less_than_a_thousandth_do_not_count() -> None:
    """Each visit halves what is left above 1, so that the twelfth is the last to improve by a thousandth."""

    class Halving(Line):
        def within(self, change: Tensor, budget: Tensor) -> Tensor:
            return 1 + 2.0 ** -torch.full_like(change, len(self.visited) - 1)

    found = smallest(Halving(lead(lambda x: 0.5 - x)), steps=40)
    # 1 + 2^-9 at the tenth visit after the first, 1 + 2^-11 at the twelfth: the eleventh is not smaller by a thousandth
    assert found.backward.item() == 1 + 12 + 10


def test_an_image_that_loses_its_gradient_leaves_and_keeps_what_was_found() -> None:
    clean = smallest(Line(lead(lambda x: 1 + 0 * x)), steps=9)
    assert clean.notes == (NO_GRADIENT,) and clean.backward.item() == 1
    # behind the boundary the logits are flat: misclassified, but the gradient there is zero
    masked = smallest(Line(lead(lambda x: torch.where(x < 0.9, 1 - x, -1 + 0 * x))), steps=9)
    assert masked.notes == (NO_GRADIENT,) and masked.backward.item() == 2 and not masked.found.any()
    kept = smallest(Line(lead(lambda x: torch.where(x < 0.99, 1 + 0 * x, -x) - (x < 0.5) * x)), steps=9)
    assert kept.found.all() and kept.notes == (None,)


class Plane(Line):
    """Two coordinates, size their L2 norm; `logits_of` takes (B, 2)."""

    def __init__(self, logits_of: Callable[[Tensor], Tensor]) -> None:
        super().__init__(lambda x, image: x)
        self.dimension, self.function = 2, logits_of
        self.points: list[Tensor] = []

    def forward(self, change: Tensor) -> Tensor:
        self.points.append(change[0].detach().clone())
        return torch.stack([self.function(change), torch.zeros(len(change))], dim=1)

    def size(self, change: Tensor) -> Tensor:
        return change.norm(dim=1)

    def slope(self, gradient: Tensor) -> Tensor:
        return gradient.norm(dim=1)


def test_the_angle_of_a_step_shrinks_from_the_norm_itself_to_a_hundredth_of_it() -> None:
    """Behind a first step to the right the gradient points up, so that the angle of each step shows its length."""
    steps = 8
    space = Plane(lambda x: torch.where(x[:, 0] == 0, 9 - 9 * x[:, 0], 9 - x[:, 1]))
    smallest(space, steps=steps, limit=2.0)
    points = space.points
    assert points[1].tolist() == [1, 0] and len(points) == steps
    for t in range(1, steps - 1):
        before, after = points[t], points[t + 1]
        norm = float(after.norm())
        # after = s * (before + length * norm * up)
        length = float(before[0] * after[1] / after[0] - before[1]) / norm
        assert length == pytest.approx(annealed(1.0, 0.01, t, steps), rel=1e-4)


def test_a_change_is_scaled_up_onto_the_sphere_and_projected_down_onto_it() -> None:
    space = Plane(lambda x: torch.where(x[:, 0] == 0, 1 - x[:, 0], 50 - x[:, 1] - x[:, 0] * 0))
    smallest(space, steps=4, limit=9.0)
    assert [float(point.norm()) for point in space.points] == pytest.approx([0, 1, 2, 4])


def test_a_search_that_begins_with_deepfool_follows_the_boundary_inwards() -> None:
    """A first crossing far beyond the boundary at 1: the norm goes back to it, but not below half of the best."""

    def far(x: Tensor) -> Tensor:
        return torch.where(x < 0.5, 8 - x, 1 - x)

    crossing = 8 * 1.02
    assert visits(far, steps=2, deepfool_init=1) == pytest.approx([0, crossing, crossing, crossing / 2], rel=1e-5)
    last = visits(far, steps=4, deepfool_init=1)[2:]
    assert last == pytest.approx([crossing, crossing / 2, crossing / 4, crossing / 8], rel=1e-5)
    gamma = annealed(0.05, 0.001, 0, 4)
    assert visits(far, steps=4)[1:3] == pytest.approx([8, 8 * (1 - annealed(0.05, 0.001, 1, 4))], rel=1e-5)
    # where the boundary is further in than that, a share; where it is nearer, no further than the boundary
    linear = visits(lambda x: 1 - x, steps=4, deepfool_init=1)[2:4]
    assert linear == pytest.approx([1.02, min(1.02 * (1 - gamma), 1.0)], rel=1e-5)


def test_deepfool_compares_three_classes_ranked_anew_at_each_step() -> None:
    """Four other classes fall behind one after another; each step of DeepFool costs a pass for each of three."""

    def logits(x: Tensor, image: Tensor) -> Tensor:
        return torch.stack([0 * x, x.square() / 4 - 1, x / 8 - 2, x / 8 - 3, x - 7], dim=1)

    started = run("smallest", Line(logits), Criterion(zeros(1)), steps=1, deepfool_init=2, limit=100.0)
    # flat at zero: the second class is out of reach, the third is at 16; there the fifth and second lead
    assert started.backward.item() == 1 + 3
    assert started.found.all()
