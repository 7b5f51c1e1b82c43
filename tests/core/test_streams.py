"""One random stream per image."""

from __future__ import annotations

import hashlib

import pytest
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


def test_a_scopes_numbers_are_those_of_its_path_on_the_same_device() -> None:
    scoped = Streams(3, ["a", "b"], "draw", "meta").scope("x").scope("y")
    assert (scoped.seed, scoped.ids, scoped.path, scoped.device) == (3, ("a", "b"), "draw/x/y", "meta")
    assert len(scoped) == 2 and scoped.normal(4).device.type == "meta"
    here = Streams(3, ["a", "b"], "draw").scope("x").scope("y")
    assert torch.equal(here.normal(4), Streams(3, ["a", "b"], "draw/x/y").normal(4))
    assert not torch.equal(here.normal(4), Streams(4, ["a", "b"], "draw/x/y").normal(4))


@pytest.mark.parametrize("index", [[2, 0], torch.tensor([2, 0])], ids=["list", "tensor"])
def test_selected_streams_are_of_the_same_seed_scope_and_device(index: list[int] | torch.Tensor) -> None:
    chosen = Streams(3, ["a", "b", "c"], "draw", "meta").select(index)
    assert (chosen.seed, chosen.ids, chosen.path, chosen.device) == (3, ("c", "a"), "draw", "meta")
    here = Streams(3, ["a", "b", "c"], "draw")
    expected = Streams(3, ["c", "a"], "draw").scope("x").normal(2)
    assert torch.equal(here.select(index).scope("x").normal(2), expected)
    assert torch.equal(here.select(index).normal(2), Streams(3, ["c", "a"], "draw").normal(2))


def test_numbers_have_the_shape_and_range_that_was_asked_for() -> None:
    streams = Streams(0, [str(i) for i in range(50)])
    normal, uniform, integers = streams.normal(20, 3), streams.uniform(20, 3), streams.integers(4, 20, 3)
    assert normal.shape == uniform.shape == integers.shape == (50, 20, 3)
    assert abs(normal.mean()) < 0.1 and abs(normal.std() - 1) < 0.1
    assert 0 <= uniform.min() < 0.05 and 0.95 < uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.05
    assert integers.dtype == torch.int64 and integers.unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("draw", [Streams.normal, Streams.uniform, lambda streams, *shape: streams.integers(9, *shape)])
def test_no_images_have_no_numbers_and_draws_depend_on_the_stream_alone(draw) -> None:  # type: ignore[no-untyped-def]
    assert draw(Streams(0, []), 4, 5).shape == (0, 4, 5)
    assert draw(Streams(0, [], device="meta"), 4).device.type == "meta"
    torch.manual_seed(1)
    first = draw(Streams(0, ["a"]), 4)
    assert torch.equal(first, draw(Streams(0, ["a"]), 4))


def test_streams_without_a_scope_are_those_of_the_empty_one() -> None:
    assert Streams(0, ["a"]).path == ""


def test_seed_id_and_scope_are_separate_parts_of_a_stream() -> None:
    assert not torch.equal(Streams(1, ["1a"], "s").normal(4), Streams(11, ["a"], "s").normal(4))
    assert not torch.equal(Streams(1, ["a"], "s").normal(4), Streams(1, ["as"], "").normal(4))
    # blake2b of "0\x1fa\x1fs", the first 8 bytes from the lowest
    number = int.from_bytes(hashlib.blake2b(b"0\x1fa\x1fs", digest_size=8).digest(), "little")
    expected = torch.randn(4, generator=torch.Generator().manual_seed(number))
    assert torch.equal(Streams(0, ["a"], "s").normal(4)[0], expected)
