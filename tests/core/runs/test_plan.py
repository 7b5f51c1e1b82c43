"""A plan: specs become values, images and judges belong to each perturbation, and mistakes are one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from granu import GranuError, OptionError, UnknownName
from granu.runs.plan import EvalPlan

Plan = Callable[..., EvalPlan]
CLASSIFIER = ("tiny-classifier",)

CLAIMS = """
import granu
from pathlib import Path

@granu.hookimpl
def granu_weights():
    return [granu.Weights(
        name="tiny-weights", summary="claims tiny", file=Path("none"), sha256="0", licence="none", source="none",
        classifiers=("tiny-classifier", "tiny-classifier:linear"), judges=("tiny-classifier:linear",),
        default_source="tiny:weights=tiny-weights",
    )]
"""


@pytest.fixture(autouse=True)
def world(tiny_place: Path) -> None:
    """Install the tiny world."""


@pytest.fixture
def claimed(fake_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Install weights that claim the tiny generator as the default, and judges; nothing else claims one."""
    fake_plugin("claims", CLAIMS)
    monkeypatch.setenv("GRANU_DISABLE", "zoo")


def keys(plan: EvalPlan) -> list[str]:
    return [p.key for p in plan.perturbations]


def sources(plan: EvalPlan) -> list[str]:
    return [p.source.key for p in plan.perturbations]


def test_all_and_wildcards_mean_every_target_coarse_to_fine(planned: Plan) -> None:
    every = ["tiny:z", "tiny:layer0", "tiny:layer1", "tiny:image"]
    assert keys(planned("tiny:all", classifiers=CLASSIFIER)) == keys(planned("tiny", classifiers=CLASSIFIER)) == every
    assert keys(planned("tiny:layer?,steps=5", classifiers=CLASSIFIER)) == [
        "tiny:layer0,steps=5",
        "tiny:layer1,steps=5",
    ]
    assert keys(planned("pixel:all", classifiers=CLASSIFIER, data="tiny")) == ["pixel:l2", "pixel:linf", "pixel:l1"]


def test_a_perturbation_named_twice_is_measured_once(planned: Plan) -> None:
    assert keys(planned("tiny:z", "tiny:*", "tiny:z", classifiers=CLASSIFIER))[:2] == ["tiny:z", "tiny:layer0"]
    assert len(keys(planned("tiny:z", "tiny:*", "tiny:z", classifiers=CLASSIFIER))) == 4


def test_a_joined_site_is_one_perturbation_with_its_sites_in_order(planned: Plan) -> None:
    (joined,) = planned("tiny:layer0+layer1", classifiers=CLASSIFIER).perturbations
    assert [site.name for site in joined.sites] == ["layer0", "layer1"]


def test_a_budget_is_read_as_a_value_and_stays_as_typed_in_the_key(planned: Plan) -> None:
    (worst,) = planned("pixel:linf,search=worst,budget=8/255", classifiers=CLASSIFIER, data="tiny").perturbations
    assert worst.key == "pixel:linf,budget=8/255,search=worst"
    assert worst.search is not None and worst.search.name == "worst"
    assert worst.search.budget == pytest.approx(8 / 255)
    (smallest,) = planned("pixel:linf", classifiers=CLASSIFIER, data="tiny").perturbations
    assert smallest.search is not None and (smallest.search.name, smallest.search.budget) == ("smallest", None)


def test_sites_take_their_own_generators_images_and_pixels_those_of_the_command(planned: Plan) -> None:
    mixed = planned("pixel:l2", "tiny:z", classifiers=CLASSIFIER)
    assert sources(mixed) == ["tiny", "tiny"], "without --data the pixels take the images that are drawn anyway"
    other = planned("pixel:l2", "tiny:z", classifiers=CLASSIFIER, data="stylegan")
    assert sources(other) == ["stylegan", "tiny"]
    assert [p.source.kind for p in other.perturbations] == ["generator", "generator"]


def test_the_options_of_search_and_statistics_do_not_make_another_generator(planned: Plan) -> None:
    plan = planned("tiny:z,samples=7,steps=3", "tiny:layer0,search=worst,budget=1", classifiers=CLASSIFIER)
    assert sources(plan) == ["tiny", "tiny"]
    assert [p.samples for p in plan.perturbations] == [7, 1000]


def test_data_beside_sites_alone_is_refused(planned: Plan) -> None:
    with pytest.raises(OptionError, match="the sites of a generator draw their own"):
        planned("tiny:z", classifiers=CLASSIFIER, data="tiny")


def test_a_repeated_perturbation_takes_the_images_that_it_took_before(planned: Plan) -> None:
    recorded = {"pixel:l2": "tiny"}
    again = planned("pixel:l2", "pixel:linf", classifiers=CLASSIFIER, recorded=recorded)
    assert sources(again) == ["tiny", "stylegan"]
    assert sources(planned("pixel:l2", classifiers=CLASSIFIER, recorded=recorded, data="stylegan")) == ["stylegan"]


def test_the_default_images_and_classifier_are_those_that_weights_claim(claimed: None, planned: Plan) -> None:
    plan = planned("pixel:l2")
    assert sources(plan) == ["tiny:weights=tiny-weights"]
    assert [str(c.spec) for c in plan.classifiers] == ["tiny-classifier"]
    assert [str(j.spec) for j in plan.judges] == ["tiny-classifier:linear"]


def test_without_a_claim_images_must_be_named(planned: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANU_DISABLE", "zoo")
    with pytest.raises(OptionError, match="say where images come from with --data"):
        planned("pixel:l2", classifiers=CLASSIFIER)


def test_each_perturbation_asks_the_judges_of_its_own_images(claimed: None, planned: Plan) -> None:
    plan = planned("tiny:z", "pixel:l2", classifiers=CLASSIFIER, data="tiny:weights=tiny-weights")
    assert [[str(j.spec) for j in p.judges] for p in plan.perturbations] == [[], ["tiny-classifier:linear"]]


def test_judges_that_are_named_replace_the_default_and_none_asks_nobody(claimed: None, planned: Plan) -> None:
    named = planned("pixel:l2", judges=("tiny-classifier", "tiny-classifier:two", "tiny-classifier"))
    assert [str(j.spec) for j in named.judges] == ["tiny-classifier", "tiny-classifier:two"]
    assert planned("pixel:l2", judges=()).judges == ()


def test_a_classifier_is_no_judge_of_itself_and_judges_the_others(planned: Plan) -> None:
    names = ("tiny-classifier", "tiny-classifier:linear")
    plan = planned("tiny:z", classifiers=names, judges=names)
    (perturbation,) = plan.perturbations
    judging = {str(c.spec): [str(j.spec) for j in perturbation.judges_of(c)] for c in plan.classifiers}
    assert judging == {names[0]: [names[1]], names[1]: [names[0]]}
    assert [str(j.spec) for j in plan.judges] == list(names)


def test_the_path_of_weights_takes_no_part_in_random_streams(planned: Plan) -> None:
    (here,) = planned("tiny:z,weights=/here/w.pkl,steps=3", classifiers=CLASSIFIER).perturbations
    assert here.key == "tiny:z,steps=3,weights=/here/w.pkl" and here.scope == "tiny:z,steps=3"


def test_a_plan_is_json(planned: Plan) -> None:
    plan = planned("tiny:layer1,samples=9", "pixel:linf,search=worst,budget=1/8", classifiers=CLASSIFIER, count=7)
    data = json.loads(json.dumps(plan.as_json()))
    assert data["count"] == 7 and data["classifiers"][0]["spec"] == "tiny-classifier"
    site, worst = data["perturbations"]
    assert site["sites"] == [{"name": "layer1", "shape": [32], "scale": "sigma"}] and site["samples"] == 9
    assert worst["search"]["name"] == "worst" and worst["search"]["budget"] == 0.125
    assert worst["images"]["spec"] == "tiny" and worst["judges"] == []


MISTAKES = [
    ((), {}, OptionError, "say what to change with --perturb"),
    (("tiny:layer9*",), {}, UnknownName, "there is no target named 'layer9\\*'"),
    (("tiny:z",), {"classifiers": ()}, OptionError, "name a classifier with --classifier"),
    (("tiny:z",), {"count": 0}, OptionError, "--count 0 is too small; it must be at least 1"),
    (("tiny:z",), {"batch": 0}, OptionError, "--batch 0 is too small; it must be at least 1"),
    (("tiny:z",), {"keep": -1}, OptionError, "--keep -1 is too small; it must be at least 0"),
    (("tiny:z",), {"judges": ("tiny-clasifier",)}, UnknownName, "did you mean 'tiny-classifier'"),
    (("tiny:z,samples=1",), {}, OptionError, "samples"),
    (("pixel:l2",), {"data": "tinny"}, UnknownName, "tinny"),
]


@pytest.mark.parametrize(("perturbations", "request_", "error", "sentence"), MISTAKES)
def test_a_mistake_is_known_before_anything_is_built(
    planned: Plan, perturbations: tuple[str, ...], request_: dict[str, object], error: type[GranuError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence) as raised:
        planned(*perturbations, **{"classifiers": CLASSIFIER, **request_})
    assert "\n" not in str(raised.value)
