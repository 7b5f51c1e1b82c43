"""A plan: specs become values, images and judges belong to each perturbation, and mistakes are one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import granu
from granu import DataError, GranuError, OptionError, UnknownName
from granu.given import MemoryDataset, resolve_images
from granu.plugins.options import option_values
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
    assert [p.site_options.samples for p in plan.perturbations] == [7, 1000]


def test_data_beside_sites_alone_is_refused(planned: Plan) -> None:
    with pytest.raises(OptionError, match="the sites of `tiny` draw their own"):
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
    assert site["sites"] == [{"name": "layer1", "shape": [32], "scale": "sigma"}]
    assert site["site_options"]["samples"] == 9
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


CHECKED = """
import granu
from dataclasses import dataclass

checked = []

@dataclass(frozen=True)
class Options:
    word: str = granu.option("none", "any")
    steps: int = granu.option(3, "not those of a search")

def check(options, context):
    checked.append((options.word, context.device))
    if options.word == "wrong":
        raise granu.DataError("that word is wrong")

def make(options, context):
    raise AssertionError("a plan builds nothing")

def targets(options):
    return (f"{options.word}-one", f"{options.word}-two")

@granu.hookimpl
def granu_perturbations():
    return [granu.PerturbationOffer(
        name="own", summary="-", make=make, options=Options, check=check, searched=False, target="word"
    ), granu.PerturbationOffer(name="swept", summary="-", make=make, options=Swept, target="which", targets=targets)]

@dataclass(frozen=True)
class Swept:
    word: str = granu.option("none", "any")
    which: str = granu.option("one", "any")

@granu.hookimpl
def granu_classifiers():
    return [granu.ClassifierOffer(name="checked", summary="-", make=make, options=Options, check=check, target="word")]

@granu.hookimpl
def granu_datasets():
    return [granu.DatasetOffer(name="some", summary="-", make=make, options=Options, check=check, target="word")]
"""


@pytest.fixture
def checked(fake_plugin: Callable[..., Path]) -> None:
    """Install offers that note what they are asked to check."""
    fake_plugin("checked", CHECKED)


def test_each_thing_that_is_named_is_checked_once(checked: None, planned: Plan) -> None:
    planned("own:change", "own:other", classifiers=("checked:tested",), judges=("checked:judge",), data="some:images")
    noted = sys.modules["fake_checked"].checked
    assert noted == [(word, "cpu") for word in ("tested", "judge", "change", "other", "images")]
    for request in ({"data": "some:wrong"}, {"data": "some", "judges": ("checked:wrong",)}):
        with pytest.raises(DataError, match=r"^that word is wrong$"):
            planned("own:change", classifiers=("checked",), **request)


def test_an_option_of_a_searchs_name_belongs_to_a_perturbation_that_searches_by_itself(
    checked: None, planned: Plan
) -> None:
    plan = planned("own:a,steps=9", "own:all", "own", classifiers=CLASSIFIER, data="some")
    assert keys(plan) == ["own:a,steps=9", "own:all", "own"]
    first, every, plain = plan.perturbations
    assert [p.search for p in plan.perturbations] == [None, None, None]
    assert (first.resolved.options.steps, first.resolved.options.word) == (9, "a")
    assert (every.resolved.options.word, plain.resolved.options.word) == ("all", "none")
    assert (first.sites, first.generator, first.source.kind) == ((), None, "dataset")


def test_targets_may_depend_on_options(checked: None, planned: Plan) -> None:
    plan = planned("swept:*-t[vw]o,word=a,steps=7", classifiers=CLASSIFIER, data="some")
    assert keys(plan) == ["swept:a-two,steps=7,word=a"]
    (perturbation,) = plan.perturbations
    assert perturbation.resolved.options.which == "a-two" and perturbation.search is not None
    assert perturbation.search.options.steps == 7


def test_names_are_matched_in_the_case_in_which_they_are_written(planned: Plan) -> None:
    with pytest.raises(UnknownName):
        planned("tiny:LAYER*", classifiers=CLASSIFIER)


def test_a_plan_finds_its_perturbations_classifiers_and_judges_by_name(planned: Plan) -> None:
    plan = planned("tiny:z", "tiny:layer0", classifiers=CLASSIFIER, judges=("tiny-classifier:linear",))
    assert plan.perturbation("tiny:layer0") is plan.perturbations[1]
    assert plan.classifier("tiny-classifier") is plan.classifiers[0]
    assert plan.classifier("tiny-classifier:linear") is plan.judges[0]


def test_a_classifier_named_twice_is_measured_once(planned: Plan) -> None:
    names = ("tiny-classifier:linear", "tiny-classifier", "tiny-classifier:linear")
    assert [str(c.spec) for c in planned("tiny:z", classifiers=names).classifiers] == list(names[:2])


def test_things_given_from_python_are_taken_as_they_are(planned: Plan) -> None:
    (classifier,) = planned("tiny:z", classifiers=CLASSIFIER).classifiers
    images = resolve_images(MemoryDataset(torch.zeros(1, 1, 8, 8), torch.tensor([0])))
    plan = planned("pixel:l2", classifiers=(classifier,), judges=(classifier,), data=images)
    assert plan.classifiers == plan.judges == (classifier,)
    (source,) = {p.source for p in plan.perturbations}
    assert source.kind == "dataset" and source.resolved is images and source.key == "images"


def test_a_dataset_has_no_weights_and_so_no_judges(checked: None, claimed: None, planned: Plan) -> None:
    plan = planned("pixel:l2", "tiny:z,weights=tiny-weights", data="some")
    assert [str(c.spec) for c in plan.classifiers] == ["tiny-classifier"], "those of the first source that has any"
    assert [[str(j.spec) for j in p.judges] for p in plan.perturbations] == [[], ["tiny-classifier:linear"]]


def test_recorded_images_are_not_asked_for_where_sites_or_the_request_name_others(planned: Plan) -> None:
    recorded = {"tiny:z": "stylegan", "pixel:l2": "stylegan"}
    assert sources(planned("tiny:z", "pixel:l2", classifiers=CLASSIFIER, recorded=recorded)) == ["tiny", "stylegan"]
    assert sources(planned("pixel:l2", classifiers=CLASSIFIER, recorded=recorded, data="tiny")) == ["tiny"]


def test_the_json_of_a_plan_holds_every_option_of_every_part(planned: Plan) -> None:
    plan = planned(
        "tiny:layer1+layer0,samples=9,steps=4", "pixel:linf,search=worst,budget=1/8",
        classifiers=CLASSIFIER, judges=("tiny-classifier:linear",), count=7, seed=3, batch=2, keep=1,
        device="auto", precision="bfloat16",
    )  # fmt: skip
    where = {"plugin": "tiny", "distribution": "fake_tiny 1.0"}
    images = {"spec": "tiny", **where, "options": {"weights": "none"}}
    judges = ["tiny-classifier:linear"]
    assert plan.as_json() == {
        "count": 7, "seed": 3, "batch": 2, "keep": 1, "device": "auto", "precision": "bfloat16",
        "classifiers": [{"spec": "tiny-classifier", **where, "options": {"model": "bent"}}],
        "perturbations": [
            {
                "spec": "tiny:layer1+layer0,samples=9,steps=4", **where, "options": {"weights": "none"},
                "images": images, "generator": images, "encoded": False, "judges": judges, "guides": [],
                "site_options": {"samples": 9, "norm": "rms", "bands": "", "residual": False, "psnr": 15.0},
                "sites": [{"name": "layer0", "shape": [16], "scale": "sigma"},
                          {"name": "layer1", "shape": [32], "scale": "sigma"}],
                "search": {"name": "smallest", "steps": 4, "limit": None, "deepfool-init": 0, "margin": 0.001,
                           "preserve": False},
            },
            {
                "spec": "pixel:linf,budget=1/8,search=worst", "plugin": "pixel",
                "distribution": f"granu {granu.__version__}",
                "options": option_values(plan.perturbations[1].resolved.options),
                "images": images, "generator": None, "encoded": False, "judges": judges, "guides": [],
                "site_options": None, "sites": [],
                "search": {"name": "worst", "effort": "standard", "gradients": True, "budget": 0.125, "margin": 0.001,
                           "preserve": False},
            },
        ],
    }  # fmt: skip


def test_a_perturbation_that_searches_by_itself_has_no_search_in_json(checked: None, planned: Plan) -> None:
    (own,) = planned("own", classifiers=CLASSIFIER, data="some").as_json()["perturbations"]
    assert own["search"] is None and own["images"]["spec"] == "some" and own["judges"] == []


SENTENCES: list[tuple[tuple[str, ...], dict[str, object], str]] = [
    ((), {}, "say what to change with --perturb or --suite, for example --perturb stylegan:layer6"),
    (("tiny:z",), {"classifiers": ()}, "name a classifier with --classifier, for example --classifier zoo:mnist-cnn"),
    (("tiny:z",), {"data": "tiny"},
     "--data is for changes to images and for generators that encode them; the sites of `tiny` draw their own"),
    (("tiny:z,samples=1",), {}, "`tiny:z,samples=1`: samples=1 is out of range; it must be from 2 to 1e+06"),
    (("tiny:z,steps=0",), {}, "`tiny:z,steps=0`: steps=0 is out of range; it must be from 1 to 100000"),
    (("pixel:l2,steps=0",), {}, "`pixel:l2,steps=0`: steps=0 is out of range; it must be from 1 to 100000"),
    (("tiny:z,search=worst",), {}, "`tiny:z,search=worst`: search=worst needs a size to spend; add budget=NUMBER"),
    (("tiny:z+image,steps=3",), {},
     "`tiny:z+image,steps=3`: 'image' is measured in pixels and cannot be joined with other sites"),
]  # fmt: skip


@pytest.mark.parametrize(("perturbations", "request_", "sentence"), SENTENCES)
def test_a_mistake_is_one_whole_sentence(
    planned: Plan, perturbations: tuple[str, ...], request_: dict[str, object], sentence: str
) -> None:
    with pytest.raises(OptionError) as raised:
        planned(*perturbations, **{"classifiers": CLASSIFIER, **request_})
    assert str(raised.value) == sentence


def test_without_a_claim_the_sentence_says_how_to_name_images(planned: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANU_DISABLE", "zoo")
    with pytest.raises(OptionError) as raised:
        planned("pixel:l2", classifiers=CLASSIFIER)
    assert str(raised.value) == "say where images come from with --data, for example --data folder:val"


@pytest.mark.parametrize("name", ["count", "batch"])
def test_one_is_enough_of_what_must_not_be_zero(planned: Plan, name: str) -> None:
    assert len(planned("tiny:z", classifiers=CLASSIFIER, **{name: 1}).perturbations) == 1
    assert planned("tiny:z", classifiers=CLASSIFIER, keep=0).request.keep == 0


REACHING = """
import granu
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    prefix: str = granu.option("site", "of each site's name")

def sites(options, context):
    return tuple(granu.Site(f"{options.prefix}-{word}", (1,)) for word in (context.device, "last"))

@granu.hookimpl
def granu_generators():
    return [granu.GeneratorOffer(
        name="reaching", summary="-", options=Options, make=None, sites=sites, weights=lambda options: "none"
    )]
"""


def test_sites_may_depend_on_options_and_context(planned: Plan, fake_plugin: Callable[..., Path]) -> None:
    fake_plugin("reaching", REACHING)
    plan = planned("reaching:*,prefix=my,samples=7", classifiers=CLASSIFIER)
    assert keys(plan) == ["reaching:my-cpu,prefix=my,samples=7", "reaching:my-last,prefix=my,samples=7"]
    assert [p.resolved.spec.target for p in plan.perturbations] == ["my-cpu", "my-last"]
    assert [p.resolved.options.prefix for p in plan.perturbations] == ["my", "my"]
    assert sources(plan) == ["reaching:prefix=my"] * 2


def test_an_unknown_option_or_site_is_named_with_the_spec_as_typed(checked: None, planned: Plan) -> None:
    with pytest.raises(OptionError, match=r"^`swept:all,wrd=a` has no option 'wrd'"):
        planned("swept:all,wrd=a", classifiers=CLASSIFIER, data="some")
    with pytest.raises(UnknownName, match=r"^there is no site named 'laXer' in `tiny:laXer,steps=3`; "):
        planned("tiny:laXer,steps=3", classifiers=CLASSIFIER)
