"""The state of a search narrows everything that belongs to an image together."""

from __future__ import annotations

import torch
from searching import COUNT

from granu import Batch, Criterion
from granu.search.state import SearchState
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
