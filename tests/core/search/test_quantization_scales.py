"""Quantization of a change of one pixel: which scales are tried, what is kept, and how many passes it takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from searching import zeros
from torch import Tensor

from granu import Criterion
from granu.search.quantization import BUDGETS, SCALES, survive_quantization
from granu.search.state import SearchState
from granu.spaces.base import PixelSpace

STEP = 1 / 255
UNDONE = "what was found is undone by rounding to 8 bits"


def found(lead: Callable[[Tensor], Tensor], *changes: float) -> SearchState:
    """Images of one pixel of 128/255, on which these changes, in steps of 8 bits, were found to be the smallest.

    The label leads by `lead` of the change in steps.
    """

    def classifier(images: Tensor) -> Tensor:
        value = lead(images.flatten() * 255 - 128)
        return torch.stack([value, 0 * value], dim=1)

    count = len(changes)
    space = PixelSpace(classifier, torch.full((count, 1, 1, 1), 128 * STEP), "l2")
    state = SearchState(space, Criterion(zeros(count), 1e-3))
    change = torch.tensor(changes)[:, None] * STEP
    state.update(change, space.size(change), change[:, 0] != 0)
    return state


def one_step(steps: Tensor) -> Tensor:
    """The label loses from a step of 8 bits on."""
    return 0.9 - steps


def limit(*steps: float) -> Tensor:
    return torch.tensor(steps) * STEP


def test_the_scales_begin_at_one_and_grow_twofold_from_a_thousandth() -> None:
    assert SCALES[:4] == pytest.approx((1, 1.0005, 1.001, 1.002))
    assert len(SCALES) == 27 and SCALES[-1] == pytest.approx(1 + 0.0005 * 2**25)
    assert BUDGETS == (2, 4, 8, 16)


def test_a_change_that_survives_as_it_is_costs_one_pass() -> None:
    state = found(one_step, 0.6)
    extra = survive_quantization(state, limit(9))
    assert extra["quantization_scale"].item() == 1 and state.size.item() == pytest.approx(0.6 * STEP)
    assert extra["size_before_quantization"].item() == state.size.item() == state.tried.item()
    assert state.change.item() == pytest.approx(0.6 * STEP, rel=1e-4)
    assert (state.forward.item(), state.backward.item(), state.notes) == (1, 0, [None])


def test_by_a_small_scale_the_change_grows_and_its_size_stays() -> None:
    state = found(one_step, 0.45)
    extra = survive_quantization(state, limit(9))
    assert extra["quantization_scale"].item() == pytest.approx(1.128)
    assert state.change.item() == pytest.approx(0.45 * 1.128 * STEP, rel=1e-4)
    assert state.size.item() == state.tried.item() == pytest.approx(0.45 * STEP)
    assert state.forward.item() == 10  # 1 and nine more


def test_a_large_scale_is_narrowed_by_four_halvings_and_its_quantized_size_counts() -> None:
    state = found(one_step, 0.43, 0.4)
    extra = survive_quantization(state, limit(9, 9))
    first = (1.128 * 1.256) ** 0.5
    third = ((1.128 * first) ** 0.5 * first) ** 0.5
    fourth = ((1.128 * first) ** 0.5 * third) ** 0.5
    # 0.5 / 0.43 is 1.1628, and 0.5 / 0.4 is 1.25, which no halving reaches
    assert extra["quantization_scale"].tolist() == pytest.approx([fourth, 1.256])
    assert extra["size_before_quantization"].tolist() == pytest.approx([0.43 * STEP, 0.4 * STEP])
    assert state.size.tolist() == state.change[:, 0].tolist() == pytest.approx([STEP, STEP], rel=1e-5)
    assert state.tried.tolist() == pytest.approx([STEP, STEP], rel=1e-5)
    assert state.forward.tolist() == [11 + 4] * 2 and not state.backward.any()


def test_images_where_nothing_was_found_cost_nothing() -> None:
    state = found(one_step, 0.0, 0.6)
    extra = survive_quantization(state, limit(9, 9))
    assert state.forward.tolist() == [0, 1] and state.notes == [None, None]
    assert extra["size_before_quantization"].tolist() == [torch.inf, state.size[1].item()]
    assert state.size[0] == torch.inf and state.tried[0] == 0


@pytest.mark.parametrize(("most", "holds"), [(0.99, False), (1.0, True)])
def test_a_quantized_change_may_be_as_large_as_the_limit(most: float, holds: bool) -> None:
    state = found(one_step, 0.3)
    extra = survive_quantization(state, limit(most))
    assert state.found.item() is holds and state.notes == [None if holds else UNDONE]
    if holds:
        assert state.size.item() == pytest.approx(STEP) and extra["quantization_scale"].item() > 1.13


def test_the_change_before_quantization_is_cut_to_the_limit_too() -> None:
    """Two steps are needed, which need 1.5 before rounding."""
    state = found(lambda steps: 1.9 - steps, 0.3)
    survive_quantization(state, limit(1.4))
    assert not state.found.item() and state.notes == [UNDONE]
    state = found(lambda steps: 1.9 - steps, 0.3)
    survive_quantization(state, limit(2))
    assert state.size.item() == pytest.approx(2 * STEP)


def downwards(steps: Tensor) -> Tensor:
    """The label loses between 0.2 and 0.4, which no 8 bits hold, and from 1.5 steps downwards."""
    return torch.where((steps - 0.3).abs() < 0.1, -1 - steps, 1.5 + steps)


def test_where_no_scale_survives_growing_budgets_are_searched() -> None:
    """Budgets of 0.6, 1.2 and 2.4 steps; the third reaches 1.8, its fourth change, which rounds to 2."""
    state = found(downwards, 0.3)
    extra = survive_quantization(state, limit(9))
    assert state.size.item() == pytest.approx(2 * STEP, rel=1e-4)
    assert state.change.item() == pytest.approx(-2 * STEP, rel=1e-4)
    assert extra["quantization_scale"].item() == pytest.approx(2 / 0.3, rel=1e-4)
    assert extra["size_before_quantization"].item() == pytest.approx(0.3 * STEP)
    assert state.backward.item() == 11 + 11 + 4 and state.forward.item() == 27 + 11 + 11 + 4 + 1
    assert state.notes == [None] and state.tried.item() == pytest.approx(2 * STEP, rel=1e-4)


def test_where_no_budget_survives_either_the_change_counts_as_not_found() -> None:
    """0.1 steps are found; sixteen times that is 1.6, but within the limit of 1.4 nothing reaches 1.5."""
    state = found(lambda steps: torch.where((steps - 0.1).abs() < 0.05, -1 - steps, 1.5 + steps), 0.1)
    extra = survive_quantization(state, limit(1.4))
    assert state.size.item() == torch.inf and state.notes == [UNDONE]
    assert extra["quantization_scale"].item() == 16 and state.tried.item() == pytest.approx(0.1 * STEP)
    assert (state.forward.item(), state.backward.item()) == (27 + 4 * 11, 4 * 11)


def test_a_change_searched_again_is_limited_after_quantization_too() -> None:
    """Within 1.8 steps the classifier is misled, and so is the judge, but by two whole steps."""
    state = found(downwards, 0.3)
    survive_quantization(state, limit(1.8))
    assert not state.found.item() and state.notes == [UNDONE]
    state = found(downwards, 0.3)
    survive_quantization(state, limit(2))
    assert state.size.item() == pytest.approx(2 * STEP, rel=1e-4) and state.found.item()


def test_images_are_scaled_and_searched_again_independently() -> None:
    """One survives, one is scaled a little, one much, one is searched again, and nothing was found for one."""

    def lead(steps: Tensor) -> Tensor:
        return torch.where((steps - 0.3).abs() < 0.1, -1 - steps, torch.minimum(1.5 + steps, 0.9 - steps))

    changes = (0.6, 0.45, 0.43, -0.3, 0.0)
    state = found(lead, *changes)
    extra = survive_quantization(state, limit(9, 9, 9, 1, 9))
    for index, change in enumerate(changes):
        alone = found(lead, change)
        own = survive_quantization(alone, limit(1 if index == 3 else 9))
        assert state.size[index] == alone.size[0] and torch.equal(state.change[index], alone.change[0])
        assert state.tried[index] == alone.tried[0] and state.notes[index] == alone.notes[0]
        assert (state.forward[index], state.backward[index]) == (alone.forward[0], alone.backward[0])
        assert all(values[index] == own[name][0] for name, values in extra.items())
    assert state.found.tolist() == [True, True, True, True, False] and state.backward.tolist()[3] > 0
