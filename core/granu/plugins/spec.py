"""Specs: the text `name:target,key=value` that names an offer and its options, parsed only here.

An offer that is made of others has a whole spec as its target, and several are joined by `|`:
`outer:inner:target,key=value|inner:target,key=value`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from granu.errors import SpecError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)?", re.IGNORECASE)
QUOTE = '"'
KEY = re.compile(r"[a-z][a-z0-9_-]*", re.IGNORECASE)


@dataclass(frozen=True)
class Spec:
    """A parsed spec such as `stylegan:layer6,steps=200`; `str()` returns the canonical text with options sorted.

    `others` are the specs that follow the first after a `|`.
    """

    name: str
    target: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    others: tuple[Spec, ...] = ()

    def __str__(self) -> str:
        parts = [_quoted_target(self.target)] if self.target is not None else []
        parts += [f"{key}={_quoted_value(value)}" for key, value in sorted(self.options)]
        return "|".join([f"{self.name}:{','.join(parts)}" if parts else self.name, *map(str, self.others)])

    def with_target(self, target: str) -> Spec:
        """Return the same spec with another target."""
        return replace(self, target=target)

    def with_options(self, options: Mapping[str, str]) -> Spec:
        """Return the same spec with other options."""
        return replace(self, options=tuple(sorted(options.items())))

    def without(self, key: str) -> tuple[Spec, str | None]:
        """Return the same spec without an option, and the option's value; None where it is not given."""
        given = dict(self.options)
        value = given.pop(key, None)
        return (self, None) if value is None else (self.with_options(given), value)


def parse_spec(text: str) -> Spec:
    """Parse `name[:part{,part}]`, where a part is `key=value` or, in first place only, a target.

    The target may be a spec itself, and further specs may follow, each after a `|`. A part without `=` after an option
    continues its value, so `classes=tiger,pizza` is one option. Text in double quotes is taken as it is, so that a path
    may contain commas: `weights="a,b=c.pkl"`; a quote in it is doubled. Raises SpecError, with a corrected spec where
    one can be guessed.
    """
    first, *others = _split(text, "|", text)
    if others:
        return replace(parse_spec(first), others=tuple(parse_spec(other) for other in others))
    name, colon, rest = text.strip().partition(":")
    head, comma, tail = name.partition(",")
    if comma and NAME.fullmatch(head):
        raise SpecError(f"`{text}` needs a colon after the name; write `{head}:{tail}`")
    if not NAME.fullmatch(name):
        raise SpecError(f"`{text}` does not begin with a name; write it like `stylegan:layer6,steps=200`")
    if not colon:
        return Spec(name)
    target: str | None = None
    options: dict[str, str] = {}
    last: str | None = None
    for position, part in enumerate(_split(rest, ",", text)):
        quoted = part.startswith(QUOTE)
        key, equals, value = (part, "", "") if quoted else part.partition("=")
        if not part.strip():
            raise SpecError(f"`{text}` has an empty part; write it like `{name}:target,key=value`")
        if position == 0 and (not equals or ":" in key):  # with a colon it is a spec: `inner:key=value`
            target = _unquoted(part)
        elif not equals and last is not None:
            options[last] += f",{_unquoted(part)}"
        elif not equals:
            raise SpecError(f"`{text}` has two targets; join several with a plus: `{name}:{target}+{part}`")
        elif not KEY.fullmatch(key) or not _unquoted(value):
            raise SpecError(f"`{part}` in `{text}` is not an option; write it as key=value")
        elif (last := key.replace("_", "-")) in options:
            raise SpecError(f"`{text}` gives the option '{key}' twice")
        else:
            options[last] = _unquoted(value)
    return Spec(name, target, tuple(sorted(options.items())))


def _split(text: str, separator: str, where: str) -> list[str]:
    """Split outside quotes; the quotes stay. SpecError if one is not closed."""
    parts = [""]
    for i, piece in enumerate(text.split(QUOTE)):
        if i % 2:
            parts[-1] += f"{QUOTE}{piece}{QUOTE}"
        else:
            first, *others = piece.split(separator)
            parts[-1] += first
            parts += others
    if text.count(QUOTE) % 2:
        raise SpecError(f"`{where}` has a quote that is not closed; quote a path like weights={QUOTE}a,b.pkl{QUOTE}")
    return parts


def _unquoted(part: str) -> str:
    if len(part) < 2 or not (part.startswith(QUOTE) and part.endswith(QUOTE)):
        return part
    return part[1:-1].replace(QUOTE * 2, QUOTE)


def _quoted_target(target: str) -> str:
    """A target as it must be typed: in quotes where it would be read as something else."""
    return target if _reads_as(f"x:{target}", Spec("x", target)) else _quoted(target)


def _quoted_value(value: str) -> str:
    return value if _reads_as(f"x:x={value}", Spec("x", None, (("x", value),))) else _quoted(value)


def _reads_as(text: str, spec: Spec) -> bool:
    try:
        return parse_spec(text) == spec
    except SpecError:
        return False


def _quoted(text: str) -> str:
    return f"{QUOTE}{text.replace(QUOTE, QUOTE * 2)}{QUOTE}"
