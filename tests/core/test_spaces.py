"""Spaces of changes: sizes, projections, directions and slopes, against closed forms and the optimum itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from granu.images.ops import quantize
from granu.spaces.base import PixelSpace, Space
from granu.streams import Streams
from granu.types import ClassifierEvidence, ImageEvidence

NORMS = ("l1", "l2", "linf")
CLEAN = torch.linspace(0, 1, 24).view(2, 3, 2, 2)


def network(images: Tensor) -> Tensor:
    """Logits that depend on the images of each row alone."""
    return torch.stack([images.flatten(1).sum(dim=1), images.flatten(1).square().sum(dim=1)], dim=1)


class Shift(Space):
    """The change is added to two pixels."""

    def images(self, change: Tensor) -> Tensor:
        return torch.cat([self.clean.flatten(1)[:, :-2], self.clean.flatten(1)[:, -2:] + change], 1).view_as(self.clean)


class Logits(Space):
    """The change is added to the logits."""

    has_images = False

    def forward(self, change: Tensor) -> Tensor:
        return self.classifier(self.clean) + change


def pixels(norm: str, clean: Tensor = CLEAN) -> PixelSpace:
    return PixelSpace(network, clean, norm)


SPACES = [lambda: Shift(network, CLEAN, 2), lambda: pixels("l1"), lambda: pixels("l2"), lambda: pixels("linf")]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_no_change_is_zero_and_changes_no_image() -> None:
    for space in (Shift(network, CLEAN, 2), pixels("l2")):
        assert space.start().shape == (2, space.dimension) and not space.start().any()
        assert torch.equal(space.images(space.start()), CLEAN)
    assert pixels("l2").dimension == 12


def test_sizes_are_the_root_mean_square() -> None:
    space = Shift(network, CLEAN, 2)
    assert space.size(torch.tensor([[3.0, 4.0], [1.0, 1.0]])).tolist() == pytest.approx([math.sqrt(12.5), 1])
    assert (space.unit, space.largest, space.limit().tolist()) == ("RMS", 4.0, [4.0, 4.0])


@pytest.mark.parametrize(
    ("norm", "size", "unit", "limit"),
    [("l1", 7, "pixel L1", 12), ("l2", 5, "pixel L2", math.sqrt(12)), ("linf", 4, "pixel L-infinity", 1)],
)
def test_sizes_of_pixels_are_those_of_their_norm(norm: str, size: float, unit: str, limit: float) -> None:
    space = pixels(norm)
    change = torch.zeros(2, 12)
    change[0, :2] = torch.tensor([3.0, -4.0])
    assert space.size(change).tolist() == [size, 0]
    assert space.unit == unit and space.limit().tolist() == pytest.approx([limit, limit])


@pytest.mark.parametrize("make", SPACES)
def test_a_projection_keeps_what_is_within_the_budget_and_brings_the_rest_to_it(make: Any) -> None:
    space = make()
    if isinstance(space, PixelSpace):
        space.clean = torch.full_like(CLEAN, 0.5)
    change = random(2, space.dimension) * 0.1
    size = space.size(change)
    assert torch.allclose(space.within(change, size * 1.01), change, atol=1e-7)
    budget = size * torch.tensor([0.5, 0.25])
    assert torch.allclose(space.size(space.within(change, budget)), budget, rtol=1e-5)
    assert not space.within(torch.zeros_like(change), budget).any()
    assert torch.allclose(space.within(change, torch.zeros(2)), torch.zeros_like(change), atol=1e-7)


@pytest.mark.parametrize("norm", NORMS)
def test_a_projection_onto_a_ball_is_the_nearest_point_of_it(norm: str) -> None:
    space = pixels(norm, torch.full((40, 1, 2, 2), 0.5))
    change = random(40, 4).clamp(-2, 2) * 0.2
    budget = torch.linspace(0.05, 0.4, 40)
    near = space.within(change, budget)
    assert (space.size(near) <= budget + 1e-6).all()
    # of a convex set, the nearest point is the only one that no other point of the set lies beyond
    for seed in range(50):
        other = random(40, 4, seed=seed)
        other = other * (budget / space.size(other))[:, None]
        assert (((change - near) * (other - near)).sum(dim=1) <= 1e-6).all()


def test_known_projections_onto_the_l1_ball() -> None:
    space = pixels("l1", torch.full((4, 1, 1, 3), 0.5))
    change = torch.tensor([[0.3, -0.1, 0.0], [0.3, -0.1, 0.1], [0.2, 0.2, 0.2], [0.05, 0.0, -0.05]])
    budget = torch.tensor([0.2, 0.4, 0.3, 0.2])
    expected = torch.tensor([[0.2, 0.0, 0.0], [4 / 15, -1 / 15, 1 / 15], [0.1, 0.1, 0.1], [0.05, 0.0, -0.05]])
    assert torch.allclose(space.within(change, budget), expected, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_a_projection_of_pixels_stays_within_the_range_of_images(norm: str) -> None:
    space = pixels(norm)
    near = space.within(random(2, 12) * 3, torch.tensor([1.0, 9.0]))
    changed = CLEAN.flatten(1) + near
    assert changed.min() >= 0 and changed.max() <= 1
    assert (space.size(near) <= torch.tensor([1.0, 9.0]) + 1e-5).all()


def test_pixels_are_clamped_to_the_range_and_quantized_as_a_png_holds_them() -> None:
    space = pixels("l2")
    change = random(2, 12)
    changed = (CLEAN + change.view_as(CLEAN)).clamp(0, 1)
    assert torch.equal(space.images(change), changed)
    assert torch.equal(space.quantized(change), (quantize(changed) - CLEAN).flatten(1))
    assert torch.equal(Shift(network, CLEAN, 2).quantized(change[:, :2]), change[:, :2])


@pytest.mark.parametrize("make", [lambda: Shift(network, CLEAN, 2), lambda: pixels("l2"), lambda: pixels("linf")])
def test_a_direction_has_size_one_and_rises_most_steeply(make: Any) -> None:
    space = make()
    gradient = random(2, space.dimension) * torch.tensor([[1.0], [1e-6]])
    direction = space.direction(gradient)
    assert torch.allclose(space.size(direction), torch.ones(2))
    slope = (gradient * direction).sum(dim=1)
    assert torch.allclose(space.slope(gradient), slope)
    for seed in range(1, 50):
        other = random(2, space.dimension, seed=seed)
        other = other / space.size(other)[:, None]
        assert ((gradient * other).sum(dim=1) <= slope + 1e-5).all()


def test_the_l1_slope_is_the_steepest_pixels_and_its_direction_that_of_l2() -> None:
    space = pixels("l1")
    gradient = random(2, 12)
    assert torch.equal(space.slope(gradient), gradient.abs().amax(dim=1))
    expected = pixels("l2").direction(gradient) * math.sqrt(12)
    assert torch.allclose(space.direction(gradient), expected)


def test_a_space_may_hold_one_image() -> None:
    assert pixels("l2", CLEAN[:1]).start().shape == (1, 12)


@pytest.mark.parametrize("make", SPACES)
def test_without_a_gradient_there_is_no_direction(make: Any) -> None:
    space = make()
    zero = torch.zeros(2, space.dimension)
    assert not space.direction(zero).any() and not space.slope(zero).any()


@pytest.mark.parametrize("make", SPACES)
def test_a_random_change_has_the_asked_size_and_comes_from_the_streams(make: Any) -> None:
    space = make()
    budget = torch.tensor([0.5, 2.0])
    drawn = space.draw(budget, Streams(0, ["a", "b"]))
    noise = Streams(0, ["a", "b"]).normal(space.dimension)
    assert torch.allclose(space.size(drawn), budget, rtol=1e-5)
    assert torch.allclose(torch.nn.functional.cosine_similarity(drawn, noise), torch.ones(2))


def test_logits_are_those_of_the_changed_images_and_judged_ones_of_the_quantized() -> None:
    space, change = pixels("l2"), random(2, 12) * 0.01
    images = space.images(change)
    assert torch.equal(space.forward(change), network(images))
    assert torch.equal(space.logits(change), network(images))
    assert torch.equal(space.exact_logits(change), network(images))
    assert torch.equal(space.judged_logits(change), network(quantize(images)))
    evidence = space.evidence(change)
    assert isinstance(evidence, ImageEvidence) and torch.equal(evidence.images, images)


def test_changes_without_images_are_judged_by_their_logits() -> None:
    space, change = Logits(network, CLEAN, 2), random(2, 2)
    expected = network(CLEAN) + change
    assert torch.equal(space.logits(change), expected) and torch.equal(space.judged_logits(change), expected)
    evidence = space.evidence(change)
    assert isinstance(evidence, ClassifierEvidence) and torch.equal(evidence.logits_at(), expected)
    with pytest.raises(TypeError, match="Logits must implement `images`, or `forward` with has_images = False"):
        space.images(change)


class Halves(Space):
    """The logits are the change in the precision of a matrix product."""

    has_images = False

    def forward(self, change: Tensor) -> Tensor:
        return change @ torch.eye(2)


def test_low_precision_is_for_the_search_alone_and_gives_float32() -> None:
    change = torch.tensor([[1 / 3, 2 / 3]], requires_grad=True)
    space = Halves(network, CLEAN[:1], 2)
    assert torch.allclose(space.logits(change), change, atol=1e-7)
    space.low_precision = True
    rounded = space.logits(change)
    assert rounded.dtype == torch.float32 and torch.equal(rounded, change.bfloat16().float())
    assert torch.allclose(space.exact_logits(change), change, atol=1e-7)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(space.exact_logits(change), change, atol=1e-7)
    assert space.logits(change).requires_grad and not space.exact_logits(change).requires_grad


def test_a_selected_space_holds_the_selected_images_and_leaves_the_whole_alone() -> None:
    space = pixels("linf")
    chosen = space.select(torch.tensor([1]))
    assert torch.equal(chosen.clean, CLEAN[1:]) and torch.equal(space.clean, CLEAN)
    assert type(chosen) is PixelSpace and (chosen.norm, chosen.dimension, chosen.unit) == ("linf", 12, space.unit)
    change = random(1, 12)
    assert torch.equal(chosen.images(change), space.images(torch.cat([change, change]))[1:])
    assert chosen.start().shape == (1, 12) and chosen.limit().shape == (1,)
