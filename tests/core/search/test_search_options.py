"""Options of the searches as people type them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from granu import OptionError
from granu.search.options import (
    SEARCH_KEYS,
    SEARCHES,
    DeepFoolOptions,
    SmallestOptions,
    _merged,
    describe_searches,
    read_search,
)
from granu.search.registry import CLASSES, make_search


@pytest.mark.parametrize(
    ("given", "name", "values"),
    [
        ({}, "smallest", {"steps": 100, "margin": 1e-3, "limit": None, "deepfool_init": 0}),
        ({"steps": "30", "deepfool-init": "25"}, "smallest", {"steps": 30, "deepfool_init": 25}),
        ({"search": "dunn2020"}, "dunn2020", {"steps": 400, "margin": 1.0, "limit": None}),
        ({"search": "pgd", "budget": "8/255"}, "pgd", {"steps": 40, "margin": 1e-3, "budget": 8 / 255}),
        ({"search": "worst", "budget": "1"}, "worst", {"effort": "standard", "margin": 1e-3, "budget": 1.0}),
        ({"search": "worst", "budget": "1", "effort": "quick"}, "worst", {"effort": "quick"}),
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
        (
            {"budget": "1"},
            ": search=smallest has no option 'budget'; it belongs to search=worst, search=pgd and search=random",
        ),
        (
            {"search": "worst", "budget": "1", "steps": "5"},
            ": search=worst has no option 'steps'; it belongs to search=smallest, search=deepfool, search=dunn2020, "
            "search=pgd and search=random",
        ),
        (
            {"search": "worst", "budget": "1", "effort": "fast"},
            ": effort=fast is not one of its values; there are: quick, standard, thorough",
        ),
        (
            {"search": "worst", "budget": "1", "limit": "2"},
            ": search=worst has no option 'limit'; it belongs to search=smallest, search=deepfool and search=dunn2020",
        ),
        (
            {"search": "dunn2020", "deepfool-init": "25"},
            ": search=dunn2020 has no option 'deepfool-init'; it belongs to search=smallest",
        ),
        ({"search": "worst"}, ": search=worst needs a size to spend; add budget=NUMBER"),
        ({"search": "random", "steps": "3"}, ": search=random needs a size to spend; add budget=NUMBER"),
        ({"search": "smalest"}, ": there is no search named 'smalest'; did you mean 'smallest'?"),
        (
            {"search": "best"},
            ": there is no search named 'best'; there are: smallest, deepfool, dunn2020, worst, pgd, random",
        ),
        (
            {"search": "worst", "budget": "0"},
            ": budget=0.0 is out of range; it must be at least 1e-12",
        ),
        ({"steps": "many"}, ": steps=many is not a whole number"),
        ({"stepz": "1"}, " has no option 'stepz'; did you mean 'steps'?"),
    ],
)
def test_a_mistake_is_answered_with_what_would_be_right(given: Mapping[str, str], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_search(given, "pixel:l2,asked")
    assert str(caught.value) == f"`pixel:l2,asked`{message}"


def test_every_option_is_reserved_and_described() -> None:
    assert SEARCH_KEYS == (
        "search", "margin", "preserve", "steps", "limit", "deepfool-init", "candidates", "overshoot", "effort",
        "gradients", "budget",
    )  # fmt: skip
    assert describe_searches() == [
        (
            "search",
            "smallest",
            "smallest: smallest change found; deepfool: distance to the nearest decision boundary by DeepFool; "
            "dunn2020: first change found under the growing bound of Dunn et al. 2020; "
            "worst: worst change of a given size, by an ensemble in the manner of AutoAttack; "
            "pgd: worst change of a given size, by projected gradient descent alone; "
            "random: random changes of a given size",
        ),
        (
            "margin",
            "",
            "logits by which another class must lead (from 0 to 1000); "
            "defaults: smallest 0.001, deepfool 0.001, dunn2020 1.0, worst 0.001, pgd 0.001, random 0.001",
        ),
        ("preserve", "false", "find only changes in which the classifiers of --guide keep the label"),
        (
            "steps",
            "",
            "gradient steps per image (draws with search=random) (from 1 to 100000); "
            "defaults: smallest 100, deepfool 100, dunn2020 400, pgd 40, random 10",
        ),
        (
            "limit",
            "",
            "largest size tried; by default that of the perturbation (at least 1e-12); "
            "search=smallest, search=deepfool and search=dunn2020 only",
        ),
        (
            "deepfool-init",
            "0",
            "DeepFool initialisation steps (0 = off; 3 gradients each). Helps below about 50 steps; less reproducible "
            "(from 0 to 1000); search=smallest only",
        ),
        (
            "candidates",
            "9",
            "candidate classes whose boundaries are compared: those ranked highest at the clean image "
            "(from 1 to 1000); search=deepfool only",
        ),
        (
            "overshoot",
            "0.02",
            "share of each step added to cross the boundary (from 0 to 1); search=deepfool only",
        ),
        (
            "effort",
            "standard",
            "how hard to search an image that holds: at most 150, 1,150 or 4,200 passes "
            "(one of quick, standard, thorough); search=worst only",
        ),
        (
            "gradients",
            "true",
            "gradients=no leaves the random search alone, which a masked gradient cannot mislead; search=worst only",
        ),
        (
            "budget",
            "",
            "size to spend, in the perturbation's unit; required (at least 1e-12); search=worst, search=pgd and "
            "search=random only",
        ),
    ]


def test_searches_carry_the_names_that_choose_them() -> None:
    for name, cls in CLASSES.items():
        assert (cls.name, cls.summary) == (name, SEARCHES[name].summary)


def test_an_option_that_every_search_has_with_one_default_is_not_said_to_belong_to_some() -> None:
    rows = [(name, "3", "how many") for name in SEARCHES]
    assert _merged(rows) == ("3", "how many")
    assert _merged([*rows[:-1], (rows[-1][0], "4", "how many")])[0] == ""


def test_a_budget_is_read_alike_from_all_searches() -> None:
    assert getattr(SmallestOptions(), "budget", None) is getattr(DeepFoolOptions(), "budget", None) is None
    assert read_search({"search": "worst", "budget": "2"}, "x")[1].budget == 2  # type: ignore[attr-defined]


def test_options_are_read_without_torch() -> None:
    code = "import sys, granu.search.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
