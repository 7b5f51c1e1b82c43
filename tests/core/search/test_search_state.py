"""The state of a search narrows everything that belongs to an image together."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from searching import COUNT, Line, lead, line, zeros
from torch import Tensor

from granu import Batch, Criterion
from granu.search.base import Search, size_limit
from granu.search.options import WorstOptions
from granu.search.state import SearchState, unusable
from granu.spaces.base import PixelSpace
from granu.streams import Streams
from granu.testing import tiny


def new_state(batch: Batch) -> SearchState:
    space = PixelSpace(tiny.tiny_linear_classifier(), batch.images, "l2")
    return SearchState(space, Criterion(batch.labels), Streams(0, batch.ids))


def test_narrow_keeps_space_criterion_streams_and_working_tensors_aligned(batch: Batch) -> None:
    state = new_state(batch)
    row, pair = torch.arange(COUNT), torch.arange(2 * COUNT).view(-1, 2)
    state.activate(torch.ones(COUNT, dtype=torch.bool), row=row, pair=pair)
    state.narrow(torch.arange(COUNT) % 2 == 0)
    state.narrow(torch.tensor([False, True, True, False, True]))
    kept = [2, 4, 8]
    assert state.active.tolist() == state.working.row.tolist() == kept
    assert state.working.pair[:, 0].tolist() == [2 * row for row in kept]
    assert torch.equal(state.criterion.labels, batch.labels[kept])
    assert state.streams is not None and state.streams.ids == tuple(batch.ids[i] for i in kept)
    assert torch.equal(state.space.evidence(state.space.start()).images, batch.images[kept])  # type: ignore[union-attr]


def test_activate_returns_to_images_that_had_left(batch: Batch) -> None:
    state = new_state(batch)
    state.narrow(torch.zeros(COUNT, dtype=torch.bool))
    assert not len(state.active) and not len(state.criterion.labels)
    state.activate(torch.arange(COUNT) == 3, row=torch.arange(COUNT))
    assert state.active.tolist() == state.working.row.tolist() == [3]
    assert torch.equal(state.criterion.labels, batch.labels[3:4])


def test_update_keeps_the_smallest_change_that_reached_and_every_size_tried(batch: Batch) -> None:
    state = new_state(batch)
    state.narrow(torch.arange(COUNT) < 2)
    change, reached = torch.ones(2, 64), torch.tensor([True, False])
    state.update(change, torch.tensor([2.0, 5.0]), reached)
    state.update(2 * change, torch.tensor([3.0, 1.0]), reached)
    assert state.size[:2].tolist() == [2.0, torch.inf] and state.tried[:2].tolist() == [3.0, 5.0]
    assert torch.equal(state.change[0], change[0]) and not state.change[1].any()
    assert state.found.tolist() == [True] + [False] * (COUNT - 1)


def test_a_failure_is_not_noted_where_something_was_found(batch: Batch) -> None:
    state = new_state(batch)
    state.update(torch.ones(COUNT, 64), torch.ones(COUNT), torch.arange(COUNT) == 0)
    state.mark_failed(torch.arange(COUNT) < 2, "no way")
    assert state.notes[:3] == [None, "no way", None]


def test_passes_are_counted_for_active_images_only(batch: Batch) -> None:
    state = new_state(batch)
    state.narrow(torch.arange(COUNT) > 6)
    state.gradient(state.space.start())
    state.judge(state.space.start())
    assert state.forward.tolist() == [0] * 7 + [2] * 2 and state.backward.tolist() == [0] * 7 + [1] * 2


def test_a_new_state_has_found_nothing_and_searches_every_image() -> None:
    state = line(lead(lambda x: 1 - x), 0.0, 0.0)
    assert state.change.tolist() == [[0], [0]] and state.size.tolist() == state.best.tolist() == [torch.inf] * 2
    assert state.tried.tolist() == state.forward.tolist() == state.backward.tolist() == [0, 0]
    assert state.forward.dtype == state.backward.dtype == torch.int64
    assert state.notes == [None, None] and state.active.tolist() == [0, 1] and not vars(state.working)
    assert SearchState(state.space, state.criterion).streams is None


def test_a_state_is_on_the_device_of_its_space() -> None:
    space = Line(lead(lambda x: 1 - x), (0.0, 0.0))
    space.clean = space.clean.to("meta")
    state = SearchState(space, Criterion(zeros(2)))
    for tensor in (state.change, state.size, state.tried, state.forward, state.backward, state.active):
        assert tensor.device.type == "meta"


def test_narrowing_to_all_keeps_everything_as_it_is() -> None:
    state = line(lead(lambda x: 1 - x), 0.0, 0.0)
    before = state.active, state.space, state.criterion, state.streams
    state.narrow(torch.ones(2, dtype=torch.bool))
    after = state.active, state.space, state.criterion, state.streams
    assert all(kept is one for kept, one in zip(after, before, strict=True))
    without = SearchState(state.space, state.criterion)
    without.narrow(torch.tensor([True, False]))
    assert without.streams is None and without.active.tolist() == [0]


def test_a_change_of_the_same_size_does_not_replace_the_first() -> None:
    state = line(lead(lambda x: 1 - x))
    for change in (1.0, -1.0):
        state.update(torch.tensor([[change]], requires_grad=True), torch.tensor([1.0]), torch.tensor([True]))
    assert state.change.item() == 1 and not state.change.requires_grad


def test_a_gradient_is_of_the_criterion_unless_an_objective_is_given() -> None:
    state = line(lambda x, image: torch.stack([image - x, 2 * x], dim=1), 1.0, 4.0, margin=0.5)
    change = torch.tensor([[1.0], [2.0]])
    value, gradient = state.gradient(change)
    assert value.tolist() == [-2, -2] and gradient.tolist() == [[-3], [-3]] and not value.requires_grad

    def second(logits: Tensor, criterion: Criterion) -> Tensor:
        return criterion.margin * logits[:, 1]

    value, gradient = state.gradient(change, second)
    assert value.tolist() == [1, 2] and gradient.tolist() == [[1], [1]]
    assert state.judge(change).tolist() == [True, True] and state.judge(change / 9).tolist() == [False, False]
    assert state.forward.tolist() == [4, 4] and state.backward.tolist() == [2, 2]
    assert [len(x) for x in (state.space.visited, state.space.judged)] == [2, 2]  # type: ignore[attr-defined]


def test_passes_may_differ_by_image() -> None:
    state = line(lead(lambda x: 1 - x), 0.0, 0.0, 0.0)
    state.narrow(torch.tensor([True, False, True]))
    state.count(forward=torch.tensor([1, 2]), backward=torch.tensor([3, 0]))
    state.count()
    state.count(forward=1)
    state.count(backward=1)
    assert state.forward.tolist() == [2, 0, 3] and state.backward.tolist() == [4, 0, 1]


def test_a_result_holds_everything_of_a_state() -> None:
    state = line(lead(lambda x: 1 - x), 0.0, 0.0)
    state.update(torch.ones(2, 1), torch.tensor([1.0, 2.0]), torch.tensor([True, False]))
    state.count(forward=3, backward=2)
    state.mark_failed(torch.tensor([True, True]), "why")
    result, extra = state.result(), {"more": torch.zeros(2)}
    assert result.found.tolist() == [True, False] and result.size.tolist() == [1, torch.inf]
    assert result.change.tolist() == [[1], [0]] and result.tried.tolist() == [1, 2]
    assert result.forward.tolist() == [3, 3] and result.backward.tolist() == [2, 2]
    assert result.notes == (None, "why") and result.extra == {} and state.result(extra).extra is extra


@pytest.mark.parametrize(
    ("row", "expected"), [([0, 0], True), ([0, 1], False), ([1, torch.inf], True), ([torch.nan, 0], True)]
)
def test_a_gradient_is_unusable_where_all_is_zero_or_any_not_finite(row: list[float], expected: bool) -> None:
    assert unusable(torch.tensor([row, [1.0, 2.0]])).tolist() == [expected, False]


def test_a_limit_is_the_spaces_or_a_smaller_one_that_was_asked_for() -> None:
    space = Line(lead(lambda x: 1 - x), (0.0, 0.0))
    assert [size_limit(space, asked).tolist() for asked in (None, 3.0, 30.0)] == [[10, 10], [3, 3], [10, 10]]


class Own(Search[WorstOptions]):
    """A search that checks what it is given."""

    options = WorstOptions

    def search(self, state: SearchState) -> Mapping[str, Tensor]:
        assert state.criterion.margin == 0.25 and state.streams is not None and state.streams.ids == ("a",)
        state.mark_failed(torch.tensor([True]), "nothing was tried")
        return {"number": torch.tensor([7.0])}


def test_a_search_runs_at_the_margin_of_its_options_and_carries_their_name() -> None:
    class Another(Own):
        pass

    assert (Another.name, Another.summary) == (WorstOptions.name, WorstOptions.summary)
    assert not Another.spends_budget
    space = Line(lead(lambda x: 1 - x))
    result = Another(WorstOptions(budget=1.0, margin=0.25)).run(space, Criterion(zeros(1), 9.0), Streams(0, ["a"]))
    assert result.notes == ("nothing was tried",) and result.extra["number"].item() == 7
