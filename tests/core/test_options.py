"""Options: the values that texts become, the errors for those that do not fit, and their description."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from granu import OptionError, option
from granu.plugins.options import Rule, describe_options, option_values, read_options


@dataclass(frozen=True)
class Options:
    steps: int = option(100, "gradient steps", low=1, high=1000)
    lambda_: float = option(3.0, "how far", low=1)
    norm: str = option("l2", "which", choices=("l1", "l2"))
    prune: bool = option(True, "or not")
    budget: float | None = option(None, "size")
    classes: tuple[str, ...] = option((), "which ones")
    file: Path | None = option(None, "where")


@dataclass(frozen=True)
class Others:
    """Fields of every other kind, and one without help and bounds."""

    required: int
    share: float = option(0.5, "share", high=1)
    max_size: int | None = option(None, "size")
    layers_: tuple[int, ...] = option((1, 2), "numbers")
    flags: tuple[bool, ...] = option((), "flags")
    plain: str = "text"
    off: bool = option(False, "or not")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("steps", "7", 7),
        ("steps", "1", 1),
        ("steps", "1000", 1000),
        ("lambda", "1.5", 1.5),
        ("lambda", "1", 1.0),
        ("norm", "l1", "l1"),
        ("prune", "no", False),
        ("prune", "false", False),
        ("prune", "0", False),
        ("prune", "yes", True),
        ("prune", "true", True),
        ("prune", "True", True),
        ("prune", "1", True),
        ("budget", "8/255", 8 / 255),
        ("classes", "tiger,pizza", ("tiger", "pizza")),
        ("classes", "tiger+pizza", ("tiger", "pizza")),
        ("file", "a,b.pt", Path("a,b.pt")),
    ],
)
def test_a_text_becomes_a_value_of_the_fields_type(key: str, text: str, value: object) -> None:
    options = read_options(Options, {key: text}, "x")
    read = getattr(options, "lambda_" if key == "lambda" else key)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "field", "value"),
    [
        ("max-size", "3", "max_size", 3),
        ("layers", "3+4", "layers_", (3, 4)),
        ("flags", "yes,no", "flags", (True, False)),
        ("share", "1", "share", 1.0),
        ("plain", "a,b", "plain", "a,b"),
    ],
)
def test_texts_become_numbers_lists_and_plain_fields(key: str, text: str, field: str, value: object) -> None:
    assert getattr(read_options(Others, {"required": "1", key: text}, "x"), field) == value


def test_options_that_are_not_given_have_their_defaults() -> None:
    assert read_options(Options, {}, "x") == Options(100, 3.0, "l2", True, None, (), None)
    assert read_options(Options, {"steps": "2", "norm": "l1"}, "x") == Options(steps=2, norm="l1")


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("stepz", "3", "`x:y` has no option 'stepz'; did you mean 'steps'?"),
        ("lambda_", "3", "`x:y` has no option 'lambda_'; did you mean 'lambda'?"),
        ("steps", "3.5", "`x:y`: steps=3.5 is not a whole number"),
        ("steps", "6/2", "`x:y`: steps=6/2 is not a whole number"),
        ("steps", "0", "`x:y`: steps=0 is out of range; it must be from 1 to 1000"),
        ("steps", "1001", "`x:y`: steps=1001 is out of range; it must be from 1 to 1000"),
        ("lambda", "nan", "`x:y`: lambda=nan is not finite"),
        ("lambda", "inf", "`x:y`: lambda=inf is not finite"),
        ("lambda", "0.5", "`x:y`: lambda=0.5 is out of range; it must be at least 1"),
        ("budget", "1/0", "`x:y`: budget=1/0 is not a number"),
        ("budget", "1/2/3", "`x:y`: budget=1/2/3 is not a number"),
        ("budget", "wide", "`x:y`: budget=wide is not a number"),
        ("norm", "l22", "`x:y`: norm=l22 is not one of its values; did you mean 'l2'?"),
        ("norm", "l3x", "`x:y`: norm=l3x is not one of its values; there are: l1, l2"),
        ("prune", "perhaps", "`x:y`: prune=perhaps is neither true nor false"),
        ("steps", "20,layer6", "`x:y`: 'layer6' cannot follow steps=20; a target comes first"),
        ("prune", "no,a,b", "`x:y`: 'a,b' cannot follow prune=no; a target comes first"),
        ("budget", "2,layer6", "`x:y`: 'layer6' cannot follow budget=2; a target comes first"),
    ],
)
def test_a_value_that_does_not_fit_gives_what_would_be_right(key: str, text: str, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        read_options(Options, {key: text}, "x:y")
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("share", "1.5", "`x:y`: share=1.5 is out of range; it must be at most 1"),
        ("layers", "1,b", "`x:y`: layers=b is not a whole number"),
        ("flags", "yes,maybe", "`x:y`: flags=maybe is neither true nor false"),
    ],
)
def test_an_error_names_the_option_and_the_part_of_a_list(key: str, text: str, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        read_options(Others, {"required": "1", key: text}, "x:y")
    assert str(raised.value) == message


def test_defaults_are_described_as_a_person_would_type_them() -> None:
    described = {name: (default, help_) for name, default, help_ in describe_options(Others)}
    assert described == {
        "required": ("", ""),
        "share": ("0.5", "share (at most 1)"),
        "max-size": ("", "size"),
        "layers": ("1,2", "numbers"),
        "flags": ("", "flags"),
        "plain": ("text", ""),
        "off": ("false", "or not"),
    }


def test_every_option_is_described_with_its_range() -> None:
    described = dict((name, meaning) for name, _, meaning in describe_options(Options))
    assert described["steps"] == "gradient steps (from 1 to 1000)"
    assert described["lambda"] == "how far (at least 1)"
    assert described["norm"] == "which (one of l1, l2)"


def test_values_are_plain_data_for_the_record() -> None:
    assert option_values(Options(file=Path("a"), budget=0.5)) == {
        "steps": 100,
        "lambda": 3.0,
        "norm": "l2",
        "prune": True,
        "budget": 0.5,
        "classes": (),
        "file": "a",
    }


def test_a_declared_option_has_its_default_help_and_bounds() -> None:
    field = option(3, "how many", low=1, high=9, choices=["a", "b"])
    assert field.default == 3
    assert field.metadata["rule"] == Rule("how many", 1, 9, ("a", "b"))
    assert option("x", "which").metadata["rule"] == Rule("which", None, None, ())


def test_only_truth_values_are_shown_in_lower_case_and_a_trailing_underscore_is_not_typed() -> None:
    @dataclass(frozen=True)
    class Shown:
        X_: str = "None of These"
        trainX: bool = True

    assert describe_options(Shown) == [("X", "None of These", ""), ("trainX", "true", "")]
