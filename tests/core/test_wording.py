"""Text from files, as it is printed."""

from __future__ import annotations

import pytest

from granu.wording import printable, reason, shown

SHARED: list[object] = []
for _ in range(100):
    SHARED = [SHARED, SHARED]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("name", "name"),
        ("a\x1b[2J\n\u202e\ud800é", "a\\x1b[2J\\n\\u202e\\ud800é"),
        ("n" * 1000, "n" * 40 + "..." + "n" * 20),
        (3, "3"),
        (None, "None"),
        ((2, 3), "(2, 3)"),
        ((2,), "(2,)"),
        ([1.5, True], "[1.5, True]"),
        (["a"], "a list"),
        (SHARED, "a list"),
        ({"a": 1}, "a dict"),
        (b"x", "a bytes"),
    ],
)
def test_values_are_described_in_a_few_printable_characters(value: object, text: str) -> None:
    assert shown(value) == text


def test_an_integer_that_python_does_not_write_is_described() -> None:
    assert shown(10**5000) == "an integer of 16610 bits"


def test_a_long_text_is_cut_before_it_is_escaped() -> None:
    assert len(shown("\x1b" * 10**7)) < 300


def test_a_printable_text_is_unchanged() -> None:
    assert printable("Straße 3, 東京") == "Straße 3, 東京"


def test_the_reason_of_an_exception_is_its_first_line_or_its_type() -> None:
    assert reason(ValueError("\n bad\x07 bytes\nin the middle")) == "bad\\x07 bytes"
    assert reason(EOFError()) == "EOFError"
