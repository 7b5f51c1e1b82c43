"""Moments of groups of features, and what multipliers do to them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from granu_advbn.statistics import Multipliers


def multipliers(axis: int = 1, epsilon: float = 1.1, relu: bool = False, **other: object) -> Multipliers:
    settings = {"sigmas": False, "min_scale": None} | other
    return Multipliers(axis, epsilon, relu=relu, **settings)  # type: ignore[arg-type]


def statistics(features: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    places = [dim for dim in range(features.ndim) if dim != axis]
    return features.mean(places), features.std(places, correction=0)


@pytest.mark.parametrize(("shape", "axis"), [((5, 4, 3, 2), 1), ((5, 6, 4), 2), ((5, 3, 2, 4), 3), ((5, 4), 1)])
def test_mean_and_deviation_are_multiplied(shape: tuple[int, ...], axis: int) -> None:
    features, change = torch.randn(shape) + 1, torch.rand(1, 8) * 2 - 1
    ours = multipliers(axis)
    changed = ours.apply(features, ours.moments(features, group=5), change)
    mean, deviation = statistics(features, axis)
    torch.testing.assert_close(statistics(changed, axis)[0], mean * (1 + change[0, :4]))
    torch.testing.assert_close(statistics(changed, axis)[1], deviation * (1 + change[0, 4:]).abs())


def test_in_sigmas_the_mean_moves_by_deviations() -> None:
    features, change = torch.randn(5, 4, 3, 3), torch.rand(1, 8) * 2 - 1
    ours = multipliers(sigmas=True)
    changed = ours.apply(features, ours.moments(features, group=5), change)
    mean, deviation = statistics(features, 1)
    torch.testing.assert_close(statistics(changed, 1)[0], mean + change[0, :4] * deviation)
    torch.testing.assert_close(statistics(changed, 1)[1], deviation * (1 + change[0, 4:]).abs())


@pytest.mark.parametrize("sigmas", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_no_change_changes_no_bit(sigmas: bool, relu: bool) -> None:
    features = torch.randn(5, 4, 3, 3)
    features = features.relu() if relu else features
    ours = multipliers(sigmas=sigmas, relu=relu)
    assert torch.equal(ours.apply(features, ours.moments(features, 2), torch.zeros(3, 8)), features)
    none = multipliers(epsilon=0.0, sigmas=sigmas, relu=relu)
    assert torch.equal(none.apply(features, none.moments(features, 2), torch.randn(3, 8)), features)


@pytest.mark.parametrize("group", [1, 2, 3, 7])
def test_groups_are_changed_on_their_own(group: int) -> None:
    features = torch.randn(7, 4, 3, 3)
    ours = multipliers(sigmas=True)
    change = torch.rand(-(-7 // group), 8) * 2 - 1
    together = ours.apply(features, ours.moments(features, group), change)
    for row, part in enumerate(features.split(group)):
        alone = ours.apply(part, ours.moments(part, len(part)), change[row : row + 1])
        torch.testing.assert_close(together[row * group : (row + 1) * group], alone)


def test_changes_are_bounded() -> None:
    wild = 10 * torch.randn(3, 8)
    assert multipliers().bounded(wild, 9.0).abs().max() <= 1.1
    assert multipliers().bounded(wild, 0.3).abs().max() <= 0.3
    each = torch.tensor([[0.1], [0.2], [2.0]])
    assert torch.equal(multipliers().bounded(wild, each).abs().amax(1), torch.tensor([0.1, 0.2, 1.1]))
    floored = multipliers(min_scale=0.25).bounded(wild, 9.0)
    assert floored[:, 4:].min() == -0.75 and floored[:, :4].min() == torch.tensor(-1.1)


def test_whatever_is_applied_is_within_the_bounds() -> None:
    features, change = torch.randn(3, 4, 5, 5) + 2, torch.full((1, 8), 5.0)
    ours = multipliers()
    moments = ours.moments(features, 3)
    assert torch.equal(ours.apply(features, moments, change), ours.apply(features, moments, change.clamp_max(1.1)))


def test_after_a_relu_changed_features_have_one_too() -> None:
    features, change = torch.randn(5, 4, 3, 3).relu(), torch.full((1, 8), -1.1)
    for relu in (False, True):
        ours = multipliers(relu=relu)
        changed = ours.apply(features, ours.moments(features, 5), change)
        assert bool((changed >= 0).all()) is relu


def test_constant_features_have_a_finite_gradient() -> None:
    features = torch.ones(3, 4, 2, 2, requires_grad=True)
    ours = multipliers(sigmas=True)
    ours.apply(features, ours.moments(features, 3), torch.ones(1, 8)).sum().backward()
    assert features.grad is not None and features.grad.isfinite().all()


def test_half_precision_is_kept_outside_and_left_inside() -> None:
    features, change = torch.randn(64, 4, 9, 9) + 300, torch.full((1, 8), 0.5)
    ours = multipliers()
    half = features.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        moments = ours.moments(half, 64)
        changed = ours.apply(half, moments, change)
    assert changed.dtype == torch.bfloat16 and moments.mean.dtype == torch.float32
    torch.testing.assert_close(moments.mean[0], half.double().mean((0, 2, 3)).float(), rtol=1e-5, atol=0)
