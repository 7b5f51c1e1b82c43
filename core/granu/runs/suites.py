"""Suites: TOML files that list perturbations which are measured together.

title = "Weather"
about = "optional: what it is for"
perturbations = ["corruption:snow,severity=1+3+5", "corruption:fog,severity=1+3+5"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granu.errors import OptionError, SpecError, suggest
from granu.plugins.catalog import Catalog
from granu.plugins.offers import Suite
from granu.plugins.spec import parse_spec


@dataclass(frozen=True)
class SuiteContent:
    """The content of a suite's file."""

    title: str
    perturbations: tuple[str, ...]
    about: str = ""


KEYS = ("title", "about", "perturbations")


def suite_perturbations(catalog: Catalog, suites: Sequence[str]) -> tuple[str, ...]:
    """The specs that suites list, in order; each suite is a name of the catalog or a TOML file.

    Raises UnknownName, and OptionError or SpecError where a file cannot be used.
    """
    return tuple(text for suite in suites for text in read_suite(_file(catalog, suite)).perturbations)


def _file(catalog: Catalog, suite: str) -> Path:
    if suite.endswith(".toml") or Path(suite).is_file():
        return Path(suite)
    offer = catalog.find("suite", suite).offer
    assert isinstance(offer, Suite)
    return offer.file


def read_suite(file: Path) -> SuiteContent:
    """Read a suite's file. OptionError says what is wrong with it, SpecError which of its specs does not parse."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise OptionError(f"cannot read the suite {file}: {problem.strerror}; name a TOML file or a suite") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise OptionError(f"the suite {file} is not TOML: {problem}") from None
    for key in data:
        if key not in KEYS:
            raise OptionError(f"the suite {file} has an unknown entry '{key}'; {suggest(key, KEYS)}")
    perturbations = data.get("perturbations")
    if not isinstance(perturbations, list) or not perturbations or not all(isinstance(p, str) for p in perturbations):
        raise OptionError(f'the suite {file} lists no perturbations; write perturbations = ["pixel:l2", ...]')
    for text in perturbations:
        try:
            parse_spec(text)
        except SpecError as problem:
            raise SpecError(f"the suite {file}: {problem}") from None
    return SuiteContent(_text(data, "title", file) or file.stem, tuple(perturbations), _text(data, "about", file))


def _text(data: dict[str, Any], key: str, file: Path) -> str:
    value = data.get(key, "")
    if not isinstance(value, str):
        raise OptionError(f"the suite {file}: {key} must be text, not {value!r}")
    return value
