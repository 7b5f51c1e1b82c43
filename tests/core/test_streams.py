"""One random stream per image."""

from __future__ import annotations

import torch

from granu.streams import Streams


def test_the_numbers_of_an_image_do_not_depend_on_its_batch() -> None:
    together = Streams(0, ["a", "b", "c"], "draw").normal(4, 5)
    alone = Streams(0, ["b"], "draw").normal(4, 5)
    assert torch.equal(together[1:2], alone)


def test_seed_image_and_scope_each_change_the_numbers() -> None:
    numbers = Streams(0, ["a"], "draw").uniform(8)
    for other in (Streams(1, ["a"], "draw"), Streams(0, ["b"], "draw"), Streams(0, ["a"], "else")):
        assert not torch.equal(numbers, other.uniform(8))


def test_a_scope_is_independent_of_what_was_drawn_before() -> None:
    streams = Streams(0, ["a"])
    fresh = streams.scope("x").normal(3)
    streams.normal(100)
    assert torch.equal(streams.scope("x").normal(3), fresh)


def test_selected_streams_continue_from_their_state() -> None:
    streams, whole = Streams(0, ["a", "b"]), Streams(0, ["a", "b"])
    streams.normal(2), whole.normal(2)
    assert torch.equal(streams.select(torch.tensor([1])).normal(2), whole.normal(2)[1:])


def test_the_numbers_are_the_same_on_every_machine() -> None:
    assert Streams(7, ["picture"], "scope").integers(1000, 5).tolist() == [[92, 248, 33, 544, 374]]
