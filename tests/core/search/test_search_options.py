"""Options of the searches as people type them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from granu import OptionError
from granu.search.options import SEARCH_KEYS, SEARCHES, DeepFoolOptions, SmallestOptions, describe_searches, read_search
from granu.search.registry import make_search


@pytest.mark.parametrize(
    ("given", "name", "values"),
    [
        ({}, "smallest", {"steps": 100, "margin": 1e-3, "limit": None, "deepfool_init": 0}),
        ({"steps": "30", "deepfool-init": "25"}, "smallest", {"steps": 30, "deepfool_init": 25}),
        ({"search": "dunn2020"}, "dunn2020", {"steps": 400, "margin": 1.0, "limit": None}),
        ({"search": "worst", "budget": "8/255"}, "worst", {"steps": 40, "margin": 1e-3, "budget": 8 / 255}),
        ({"search": "random", "budget": "1"}, "random", {"steps": 10, "margin": 1e-3, "budget": 1.0}),
        ({"search": "deepfool", "candidates": "3"}, "deepfool", {"steps": 100, "candidates": 3, "overshoot": 0.02}),
    ],
)
def test_texts_become_the_options_of_the_search_they_name(
    given: Mapping[str, str], name: str, values: Mapping[str, Any]
) -> None:
    chosen, options = read_search(given, "pixel:l2")
    assert chosen == options.name == name
    assert {key: getattr(options, key) for key in values} == values
    assert make_search(chosen, options).chosen == options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": "1"}, "search=smallest has no option 'budget'; it belongs to search=worst and search=random"),
        ({"search": "worst", "budget": "1", "limit": "2"}, "search=worst has no option 'limit'"),
        ({"search": "dunn2020", "deepfool-init": "25"}, "it belongs to search=smallest"),
        ({"search": "worst"}, "search=worst needs a size to spend; add budget=NUMBER"),
        ({"search": "smalest"}, "there is no search named 'smalest'; did you mean 'smallest'?"),
        ({"search": "worst", "budget": "0"}, "budget=0.0 is out of range"),
        ({"steps": "many"}, "not a whole number"),
    ],
)
def test_a_mistake_is_answered_with_what_would_be_right(given: Mapping[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message.replace("?", "[?]")) as caught:
        read_search(given, "pixel:l2,asked")
    assert "`pixel:l2,asked`" in str(caught.value)


def test_every_option_is_reserved_and_described() -> None:
    rows = {name: meaning for name, _, meaning in describe_searches()}
    assert tuple(rows) == SEARCH_KEYS and SEARCH_KEYS[0] == "search"
    assert all(rows.values()) and all(name in rows["search"] for name in SEARCHES)
    assert "search=worst and search=random only" in rows["budget"] and "dunn2020 400" in rows["steps"]


def test_a_budget_is_read_alike_from_all_searches() -> None:
    assert getattr(SmallestOptions(), "budget", None) is getattr(DeepFoolOptions(), "budget", None) is None
    assert read_search({"search": "worst", "budget": "2"}, "x")[1].budget == 2  # type: ignore[attr-defined]


def test_options_are_read_without_torch() -> None:
    code = "import sys, granu.search.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
