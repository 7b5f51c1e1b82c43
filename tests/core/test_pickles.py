"""Pickles are read as data: what may occur in one, and what a reader refuses to spend."""

from __future__ import annotations

import collections
import io
import pickle
from pathlib import Path
from typing import Any

import pytest

from granu.weights.pickles import (
    LONG,
    MOST_INSTRUCTIONS,
    PLAIN_NAMES,
    Budget,
    LongText,
    Opaque,
    StandIn,
    Window,
    load,
    opaque,
)
from granu.weights.stored import EncodedSpan, Refused, Span

CONTENT: dict[Any, Any] = {
    "numbers": [0, 1, 255, 256, 65535, 65536, -1, 2**31, -(2**40), 2**100, 1.5, float("inf")],
    "words": ["", "a", "é" * 300, "\ud800"],
    "bytes": [b"", b"a", b"\xff" * 300],
    "constants": [None, True, False],
    "containers": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, [[]], {"a": {"b": []}}],
    "keys": {1: 1, None: 2, b"x": 3, (1, "a"): 4, 1.5: 5},
    "ordered": collections.OrderedDict([("a", 1), ("b", 2)]),
    "default": collections.defaultdict(dict, a=1),
    "twice": [CONTENT_OF_TWICE := ["x"], CONTENT_OF_TWICE],
}


def read(data: bytes, names: Any = PLAIN_NAMES, budget: Budget | None = None) -> Any:
    return load(Window(io.BytesIO(data), None, 0, len(data)), names, budget or Budget())


@pytest.mark.parametrize("protocol", range(6))
def test_what_python_writes_is_read(protocol: int) -> None:
    content = {**CONTENT, "words": CONTENT["words"][:3]} if protocol < 2 else CONTENT
    if protocol < 2:  # these write bytes and sets by functions that only later protocols have instructions for
        content = {
            name: value for name, value in content.items() if name not in ("bytes", "keys", "default", "ordered")
        }
    found = read(pickle.dumps(content, protocol))
    assert found == {**content, **({"ordered": {"a": 1, "b": 2}, "default": {"a": 1}} if protocol >= 2 else {})}
    assert found["twice"][0] is found["twice"][1]


@pytest.mark.parametrize("protocol", [2, 4])
def test_sets_are_read_as_their_members(protocol: int) -> None:
    assert sorted(read(pickle.dumps({3, 1, 2}, protocol))) == [1, 2, 3]
    assert sorted(read(pickle.dumps(frozenset({3, 1}), protocol))) == [1, 3]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_long_bytes_in_a_file_are_not_read_but_found(tmp_path: Path, protocol: int) -> None:
    data = bytes(range(256)) * 3000
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps(["before", data, "after"], protocol))
    with file.open("rb") as stream:
        before, found, after = load(Window(stream, file, 0, file.stat().st_size), PLAIN_NAMES, Budget())
    assert (before, after) == ("before", "after")
    assert isinstance(found, EncodedSpan if protocol == 2 else Span)
    assert found.read(1000, 50) == data[1000:1050]


def test_short_bytes_and_texts_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps([b"x" * LONG, "x" * LONG]))
    with file.open("rb") as stream:
        assert load(Window(stream, file, 0, file.stat().st_size), PLAIN_NAMES, Budget()) == [b"x" * LONG, "x" * LONG]


def test_a_long_text_is_no_name(tmp_path: Path) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"x" * 10**6: 1}))
    with file.open("rb") as stream, pytest.raises(Refused, match="a text of 1,000,000 bytes as a name"):
        load(Window(stream, file, 0, file.stat().st_size), PLAIN_NAMES, Budget())
    assert not isinstance(LongText, StandIn)


def test_a_stand_in_is_called_with_the_arguments_and_cannot_be_changed() -> None:
    join = StandIn(lambda *words: "+".join(words))
    names = {("a", "join"): join}
    assert read(b"\x80\x02ca\njoin\n(X\x01\0\0\0xX\x01\0\0\0ytR.", names) == "x+y"
    with pytest.raises(AttributeError):
        join.act = opaque  # type: ignore[misc]
    with pytest.raises(Refused, match="changes an object"):
        read(b"\x80\x02ca\njoin\n}b.", names)


def test_a_name_that_is_to_be_refused_gives_its_reason() -> None:
    with pytest.raises(Refused, match="is of another kind"):
        read(b"\x80\x02ca\nb\n.", {("a", "b"): Refused("is of another kind")})


@pytest.mark.parametrize(
    "program",
    [b"\x80\x02X\x01\0\0\0x)R.", b"\x80\x02})R.", b"\x80\x02N)\x81.", b"\x80\x02(NNo.", b"\x80\x02ca\nb\nNR."],
)
def test_only_stand_ins_are_called(program: bytes) -> None:
    with pytest.raises(Refused, match="calls what is no function"):
        read(program, {("a", "b"): StandIn(opaque)})


def test_the_state_of_an_object_that_is_not_needed_is_dropped() -> None:
    found = read(b"\x80\x02ca\nb\n)R}X\x01\0\0\0xK\x01sb.", {("a", "b"): StandIn(opaque)})
    assert isinstance(found, Opaque) and not hasattr(found, "x")


def test_instructions_are_counted_over_all_pickles_of_a_file() -> None:
    budget = Budget()
    half = b"N0" * (MOST_INSTRUCTIONS // 4) + b"N."
    read(half, budget=budget)
    with pytest.raises(Refused, match="needs more steps"):
        read(half + half, budget=budget)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x04", b"\x80\x04N", b"\x80\x04X\xff\0\0\0x.", b"\x80\x04h\x01."])
def test_damaged_pickles_raise_something(data: bytes) -> None:
    with pytest.raises(Exception, match=r".*"):
        read(data)
