"""Options of offers: read from the text after a spec's colon into a frozen dataclass, and described for help."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granu.errors import OptionError, suggest

OptionsT = typing.TypeVar("OptionsT")


@dataclass(frozen=True)
class NoOptions:
    """Options of an offer that has none."""


@dataclass(frozen=True)
class Rule:
    """Help and allowed values of one field; bounds are inclusive."""

    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Declare a field of an options dataclass with its default, one line of help, and its allowed values.

    `low` and `high` are inclusive bounds of a number. The help is printed with the allowed values behind it in
    parentheses, so it ends without punctuation.
    """
    rule = Rule(help, low, high, tuple(choices))
    return dataclasses.field(default=default, metadata={"rule": rule})


def typed_name(field_name: str) -> str:
    """Return the name that a person types for a field: `max-size` for `max_size`, `lambda` for `lambda_`."""
    return field_name.rstrip("_").replace("_", "-")


def read_options(cls: type[OptionsT], given: Mapping[str, str], where: str) -> OptionsT:
    """Convert the texts in `given` to a `cls`; `where` is the spec as typed, for errors.

    Raises OptionError for an unknown key, a value of the wrong type, or one out of range.
    """
    fields = {typed_name(f.name): f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, text in given.items():
        if key not in fields:
            raise OptionError(f"`{where}` has no option '{key}'; {suggest(key, fields)}")
        field = fields[key]
        value = _convert(text, hints[field.name], key, where)
        _check(value, field.metadata.get("rule", Rule("")), key, where)
        values[field.name] = value
    return cls(**values)


def describe_options(cls: type) -> list[tuple[str, str, str]]:
    """(name, default, help) of each option, for `granu info` and the docs; help ends with the allowed values."""
    rows = []
    for field in dataclasses.fields(cls):
        rule = field.metadata.get("rule", Rule(""))
        default = "" if field.default in (None, dataclasses.MISSING) else _show(field.default)
        rows.append((typed_name(field.name), default, _explain(rule)))
    return rows


def option_values(options: Any) -> dict[str, Any]:
    """Return options as plain data for `run.json`."""
    return {
        typed_name(f.name): str(v) if isinstance(v := getattr(options, f.name), Path) else v
        for f in dataclasses.fields(options)
    }


def _convert(text: str, hint: Any, key: str, where: str) -> Any:
    kinds = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = kinds[0]
    elif typing.get_origin(hint) is tuple:
        return tuple(_convert(part, kinds[0], key, where) for part in text.replace("+", ",").split(","))
    if hint is not str and hint is not Path and "," in text:
        value, _, stray = text.partition(",")
        raise OptionError(f"`{where}`: '{stray}' cannot follow {key}={value}; a target comes first")
    if hint is bool:
        return _truth(text, key, where)
    if hint is int or hint is float:
        return _number(text, hint, key, where)
    return hint(text)


def _truth(text: str, key: str, where: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise OptionError(f"`{where}`: {key}={text} is neither true nor false")
    return words[text.lower()]


def _number(text: str, kind: type, key: str, where: str) -> float:
    try:
        top, slash, bottom = text.partition("/")  # papers write sizes as 8/255
        value = float(top) / float(bottom) if slash and kind is float else kind(text)
    except (ValueError, ZeroDivisionError):
        noun = "a whole number" if kind is int else "a number"
        raise OptionError(f"`{where}`: {key}={text} is not {noun}") from None
    if not math.isfinite(value):
        raise OptionError(f"`{where}`: {key}={text} is not finite")
    return value


def _check(value: Any, rule: Rule, key: str, where: str) -> None:
    if rule.choices and value not in rule.choices:
        raise OptionError(f"`{where}`: {key}={value} is not one of its values; {suggest(str(value), rule.choices)}")
    too_low = rule.low is not None and value < rule.low
    too_high = rule.high is not None and value > rule.high
    if too_low or too_high:
        raise OptionError(f"`{where}`: {key}={value} is out of range; it must be {_range(rule)}")


def _explain(rule: Rule) -> str:
    allowed = _range(rule)
    return f"{rule.help} ({allowed})" if rule.help and allowed else rule.help or allowed


def _range(rule: Rule) -> str:
    if rule.choices:
        return "one of " + ", ".join(rule.choices)
    if rule.low is not None and rule.high is not None:
        return f"from {rule.low:g} to {rule.high:g}"
    if rule.low is not None:
        return f"at least {rule.low:g}"
    return f"at most {rule.high:g}" if rule.high is not None else ""


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
