"""Options of the searches, one dataclass per search; importable without torch, because plans are made without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from granu.errors import OptionError, suggest
from granu.plugins.options import describe_options, option, read_options, typed_name

DEFAULT_SEARCH = "smallest"
SIZE = 1e-12  # the smallest size that may be asked for
STEPS = "gradient steps per image (draws with search=random)"
LIMIT = "largest size tried; by default that of the perturbation"
BUDGET = "size to spend, in the perturbation's unit; required"
EFFORT = "how hard to search an image that holds: at most 150, 1,150 or 4,200 passes"
MARGIN = "logits by which another class must lead"
PRESERVE = "find only changes in which the classifiers of --guide keep the label"


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options that every search has; `name` is what follows `search=`."""

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""

    margin: float
    preserve: bool = option(False, PRESERVE)


@dataclass(frozen=True, kw_only=True)
class SmallestOptions(SearchOptions):
    """Options of `search=smallest`."""

    name = "smallest"
    summary = "smallest change found"

    steps: int = option(100, STEPS, low=1, high=100_000)
    limit: float | None = option(None, LIMIT, low=SIZE)
    deepfool_init: int = option(
        0,
        "DeepFool initialisation steps (0 = off; 3 gradients each). Helps below about 50 steps; less reproducible",
        low=0,
        high=1000,
    )
    margin: float = option(1e-3, MARGIN, low=0, high=1000)


@dataclass(frozen=True, kw_only=True)
class DeepFoolOptions(SearchOptions):
    """Options of `search=deepfool`."""

    name = "deepfool"
    summary = "distance to the nearest decision boundary by DeepFool"

    steps: int = option(100, STEPS, low=1, high=100_000)
    limit: float | None = option(None, LIMIT, low=SIZE)
    candidates: int = option(
        9, "candidate classes whose boundaries are compared: those ranked highest at the clean image", low=1, high=1000
    )
    overshoot: float = option(0.02, "share of each step added to cross the boundary", low=0, high=1)
    margin: float = option(1e-3, MARGIN, low=0, high=1000)


@dataclass(frozen=True, kw_only=True)
class Dunn2020Options(SearchOptions):
    """Options of `search=dunn2020`."""

    name = "dunn2020"
    summary = "first change found under the growing bound of Dunn et al. 2020"

    steps: int = option(400, STEPS, low=1, high=100_000)
    limit: float | None = option(None, LIMIT, low=SIZE)
    margin: float = option(1.0, MARGIN, low=0, high=1000)


@dataclass(frozen=True, kw_only=True)
class WorstOptions(SearchOptions):
    """Options of `search=worst`."""

    name = "worst"
    summary = "worst change of a given size, by an ensemble in the manner of AutoAttack"

    effort: str = option("standard", EFFORT, choices=("quick", "standard", "thorough"))
    gradients: bool = option(
        True, "gradients=no leaves the random search alone, which a masked gradient cannot mislead"
    )
    budget: float = option(dataclasses.MISSING, BUDGET, low=SIZE)
    margin: float = option(1e-3, MARGIN, low=0, high=1000)


@dataclass(frozen=True, kw_only=True)
class PgdOptions(SearchOptions):
    """Options of `search=pgd`, which is also the attack of adversarial training."""

    name = "pgd"
    summary = "worst change of a given size, by projected gradient descent alone"

    steps: int = option(40, STEPS, low=1, high=100_000)
    budget: float = option(dataclasses.MISSING, BUDGET, low=SIZE)
    margin: float = option(1e-3, MARGIN, low=0, high=1000)


@dataclass(frozen=True, kw_only=True)
class RandomOptions(SearchOptions):
    """Options of `search=random`."""

    name = "random"
    summary = "random changes of a given size"

    steps: int = option(10, STEPS, low=1, high=100_000)
    budget: float = option(dataclasses.MISSING, BUDGET, low=SIZE)
    margin: float = option(1e-3, MARGIN, low=0, high=1000)


SEARCHES: Mapping[str, type[SearchOptions]] = {
    cls.name: cls
    for cls in (SmallestOptions, DeepFoolOptions, Dunn2020Options, WorstOptions, PgdOptions, RandomOptions)
}


def option_names(cls: type[SearchOptions]) -> tuple[str, ...]:
    """The names that a person types, in order."""
    return tuple(typed_name(field.name) for field in dataclasses.fields(cls))


# a perturbation that is searched must not have options of these names
SEARCH_KEYS: tuple[str, ...] = (
    "search",
    *dict.fromkeys(name for cls in SEARCHES.values() for name in option_names(cls)),
)


def read_search(given: Mapping[str, str], where: str) -> tuple[str, SearchOptions]:
    """The search that the typed options in `given` name ("smallest" without `search=`), and its options.

    `where` is the spec as typed, for errors. Raises OptionError for an unknown search, for an option that this search
    does not have, for a missing budget, and for a value of the wrong type or out of range.
    """
    name = given.get("search", DEFAULT_SEARCH)
    if name not in SEARCHES:
        raise OptionError(f"`{where}`: there is no search named '{name}'; {suggest(name, SEARCHES)}")
    own = {key: text for key, text in given.items() if key != "search"}
    for key in own:
        owners = [f"search={other}" for other, cls in SEARCHES.items() if key in option_names(cls)]
        if f"search={name}" not in owners and owners:
            raise OptionError(f"`{where}`: search={name} has no option '{key}'; it belongs to {_listed(owners)}")
    if "budget" in option_names(SEARCHES[name]) and "budget" not in own:
        raise OptionError(f"`{where}`: search={name} needs a size to spend; add budget=NUMBER")
    return name, read_options(SEARCHES[name], own, where)


def describe_searches() -> list[tuple[str, str, str]]:
    """(name, default, help) of `search` and of every search's options, as `describe_options` gives them.

    An option that several searches have takes one row; where their defaults differ, the help lists them.
    """
    choices = "; ".join(f"{name}: {cls.summary}" for name, cls in SEARCHES.items())
    rows = [("search", DEFAULT_SEARCH, choices)]
    for key in SEARCH_KEYS[1:]:
        rows.append((key, *_merged(list(_owners(key)))))
    return rows


def _owners(key: str) -> Iterator[tuple[str, str, str]]:
    for name, cls in SEARCHES.items():
        for own, default, text in describe_options(cls):
            if own == key:
                yield name, default, text


def _merged(rows: Sequence[tuple[str, str, str]]) -> tuple[str, str]:
    """Default and help of one option; defaults of all its searches in the help where they differ."""
    names, defaults = [name for name, _, _ in rows], {default for _, default, _ in rows}
    help_ = rows[0][2]
    if len(defaults) > 1:
        each = ", ".join(f"{name} {default}" for name, default, _ in rows)
        return "", f"{help_}; defaults: {each}"
    if len(names) < len(SEARCHES):
        help_ += "; " + _listed([f"search={name}" for name in names]) + " only"
    return rows[0][1], help_


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
