"""A plugin's options as people type them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from granu import OptionError, option
from granu.plugins.options import describe_options, option_values, read_options


@dataclass(frozen=True)
class Options:
    steps: int = option(100, "gradient steps", low=1, high=1000)
    lambda_: float = option(3.0, "how far", low=1)
    norm: str = option("l2", "which", choices=("l1", "l2"))
    prune: bool = option(True, "or not")
    budget: float | None = option(None, "size")
    classes: tuple[str, ...] = option((), "which ones")
    file: Path | None = option(None, "where")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("steps", "7", 7),
        ("lambda", "1.5", 1.5),
        ("norm", "l1", "l1"),
        ("prune", "no", False),
        ("budget", "8/255", 8 / 255),
        ("classes", "tiger,pizza", ("tiger", "pizza")),
        ("classes", "tiger+pizza", ("tiger", "pizza")),
        ("file", "a,b.pt", Path("a,b.pt")),
    ],
)
def test_a_text_becomes_a_value_of_the_fields_type(key: str, text: str, value: object) -> None:
    options = read_options(Options, {key: text}, "x")
    assert getattr(options, "lambda_" if key == "lambda" else key) == value


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("stepz", "3", "did you mean 'steps'"),
        ("steps", "3.5", "not a whole number"),
        ("steps", "0", "from 1 to 1000"),
        ("steps", "1001", "from 1 to 1000"),
        ("lambda", "nan", "not finite"),
        ("lambda", "0.5", "at least 1"),
        ("budget", "1/0", "not a number"),
        ("norm", "l3", "there are: l1, l2"),
        ("prune", "perhaps", "neither true nor false"),
        ("steps", "20,layer6", "a target comes first"),
    ],
)
def test_a_bad_value_is_told_with_what_would_be_right(key: str, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_options(Options, {key: text}, "x:y")


def test_every_option_is_described_with_its_range() -> None:
    described = dict((name, meaning) for name, _, meaning in describe_options(Options))
    assert described["steps"] == "gradient steps (from 1 to 1000)"
    assert described["norm"] == "which (one of l1, l2)"


def test_values_are_plain_data_for_the_record() -> None:
    assert option_values(Options(file=Path("a")))["file"] == "a"
