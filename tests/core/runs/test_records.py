"""Records of a run: they come back as they were, differences are named, and a damaged record is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from granu import RunFolderError
from granu.runs.records import (
    ClassifierRecord,
    CommandRecord,
    FailureRecord,
    PerturbationRecord,
    RunRecord,
    SiteRecord,
    SourceRecord,
    differences,
    names_in,
    read_record,
)

SITES = PerturbationRecord(
    key="tiny:layer1,budget=1,search=worst", name="tiny", target="layer1", given={"search": "worst", "budget": "1"},
    plugin="tiny", distribution="tiny 1.0", options={"weights": "none", "list": [1, 2]},
    source=SourceRecord("tiny", "generator", "tiny-1", ("disc", "bar")), unit="sigma (RMS)", search="worst",
    search_options={"steps": 40, "budget": 1.0}, budget=1.0,
    sites=(SiteRecord("layer1", (4, 8), "sigma", 1000, 32, 3), SiteRecord("image", (1, 8, 8), "pixel")),
    judges=("judge", "other"), weights={"tiny": "abc"},
)  # fmt: skip
PLAIN = PerturbationRecord("pixel", "pixel", None, {}, "pixel", "granu", {}, SourceRecord("folder:val", "dataset"))
RECORD = RunRecord(
    seed=3, precision="bfloat16", perturbations={SITES.key: SITES, PLAIN.key: PLAIN},
    classifiers={"net": ClassifierRecord("net", "zoo", "granu 0.1.0", {"model": "net"}, ("a", "b"), "f00", {"w": "1"}),
                 "bare": ClassifierRecord("bare", "zoo", "granu 0.1.0", {}, ("a", "b"), None)},
    commands=[CommandRecord("granu eval", "2026-01-01T00:00:00+00:00", {"torch": "2", "git": None})],
    failures=[FailureRecord("net", "pixel", "pixel", "no luck", 7, "Traceback ...")],
)  # fmt: skip


def through_json(record: RunRecord) -> RunRecord:
    return read_record(json.loads(json.dumps(record.as_json())), "run.json")


def test_records_come_back_as_they_were_and_in_their_order() -> None:
    read = through_json(RECORD)
    assert read == RECORD
    assert list(read.perturbations) == [SITES.key, "pixel"] and list(read.classifiers) == ["net", "bare"]


def test_keys_of_a_newer_granu_are_ignored() -> None:
    data = RECORD.as_json()
    data["colour"] = "red"
    data["perturbations"]["pixel"]["colour"] = "red"
    assert read_record(json.loads(json.dumps(data)), "run.json") == RECORD


Damage = Callable[[dict[str, Any]], object]
DAMAGES: list[tuple[str, Damage, str]] = [
    ("another format", lambda d: d.update(format=1), "run.json has format 1, this granu reads format 2"),
    ("no format", lambda d: d.pop("format"), "run.json has format None"),
    ("no perturbations", lambda d: d.pop("perturbations"), "not the record of a run"),
    ("seed of text", lambda d: d.update(seed="3"), "run.json.seed must be int, not '3'"),
    ("seed of truth", lambda d: d.update(seed=True), "run.json.seed must be int, not 'True'"),
    ("a list of failures", lambda d: d.update(failures={}), "run.json.failures must be a list"),
    ("an object of classifiers", lambda d: d.update(classifiers=[]), "run.json.classifiers must be an object"),
    ("a classifier of text", lambda d: d["classifiers"].update(net="x"), "run.json.classifiers.net must be an object"),
    ("a plugin missing", lambda d: d["classifiers"]["net"].pop("plugin"), "run.json.classifiers.net lacks plugin"),
    ("a class of number", lambda d: d["classifiers"]["net"].update(classes=[1]), r"classes\[0\] must be str"),
    ("a weight of number", lambda d: d["classifiers"]["net"].update(weights={"w": 1}), "weights.w must be str"),
    ("a budget of text", lambda d: d["perturbations"]["pixel"].update(budget="8/255"), "budget must be float"),
    (
        "images of failures of text",
        lambda d: d["failures"][0].update(images="all"),
        r"failures\[0\].images must be int",
    ),
]


@pytest.mark.parametrize(("damage", "reason"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_a_damaged_record_is_refused_with_the_place(damage: Damage, reason: str) -> None:
    data = json.loads(json.dumps(RECORD.as_json()))
    damage(data)
    with pytest.raises(RunFolderError, match=reason) as refused:
        read_record(data, "run.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", [[], "text", None, 3])
def test_what_is_no_record_at_all_is_refused(data: object) -> None:
    with pytest.raises(RunFolderError, match="not the record of a run"):
        read_record(data, "run.json")


DIFFERENCES = [
    (replace(SITES, source=replace(SITES.source, spec="other")), "images tiny before, other now"),
    (replace(SITES, source=replace(SITES.source, fingerprint="tiny-2")), "generator tiny-1 before, tiny-2 now"),
    (replace(SITES, judges=("judge",)), "judges judge, other before, judge now"),
    (replace(SITES, judges=()), "judges judge, other before, none now"),
    (replace(SITES, options={"weights": "mine"}), "options"),
    (replace(SITES, search_options={"steps": 41, "budget": 1.0}), "search"),
]


@pytest.mark.parametrize(("now", "phrase"), DIFFERENCES, ids=[phrase for _, phrase in DIFFERENCES])
def test_what_makes_trials_incomparable_is_named(now: PerturbationRecord, phrase: str) -> None:
    (found,) = differences(SITES, now)
    assert found.startswith(phrase)


def test_what_only_measuring_tells_is_no_difference() -> None:
    sites = tuple(replace(site, samples=None, neurons=None, clamped=None) for site in SITES.sites)
    now = replace(SITES, unit="", sites=sites, judges=("other", "judge"), distribution="tiny 2.0")
    assert list(differences(SITES, now)) == []


def test_attacks_of_earlier_versions_followed_gradients() -> None:
    worst = replace(SITES, search="worst", search_options={"budget": 1.0})
    assert list(differences(worst, replace(worst, search_options={"budget": 1.0, "gradients": True}))) == []
    blind = replace(worst, search_options={"budget": 1.0, "gradients": False})
    assert [phrase.split()[0] for phrase in differences(worst, blind)] == ["search"]


def test_searches_of_earlier_versions_had_no_guides() -> None:
    assert list(differences(SITES, replace(SITES, search_options={**SITES.search_options, "preserve": False}))) == []
    guided = replace(SITES, search_options={**SITES.search_options, "preserve": True}, guides=("guide",))
    assert [phrase.split()[0] for phrase in differences(SITES, guided)] == ["guides", "search"]


def test_the_judges_of_several_perturbations_are_gathered() -> None:
    assert names_in([SITES, PLAIN, replace(PLAIN, judges=("third",))]) == {"judge", "other", "third"}


WHOLE: list[tuple[Damage, str]] = [
    (lambda d: d.update(format=1), "{} has format 1, this granu reads format 2; measure into another folder, or use "
     "the granu that wrote it"),
    (lambda d: d.update(failures={"a": 1}),
     "{}.failures must be a list, not \"{{'a': 1}}\"; it was not written by granu"),
    (lambda d: d.update(classifiers=[7]), "{}.classifiers must be an object, not '[7]'; it was not written by granu"),
    (lambda d: d["classifiers"].update(net="x"), "{}.classifiers.net must be an object, not 'x'; it was not written by "
     "granu"),
    (lambda d: d["classifiers"].update(net={"name": "net", "options": {}, "fingerprint": None, "classes": []}),
     "{}.classifiers.net lacks plugin, distribution; it was not written by granu"),
    (lambda d: d.update(seed="x" * 60), f"{{}}.seed must be int, not {'x' * 50!r}; it was not written by granu"),
    (lambda d: d["perturbations"]["pixel"].update(budget=True),
     "{}.perturbations.pixel.budget must be float, not 'True'; it was not written by granu"),
    (lambda d: d.pop("perturbations"), "{} is not the record of a run that granu wrote; name another folder"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "sentence"), WHOLE, ids=[str(i) for i in range(len(WHOLE))])
def test_a_damaged_record_is_refused_with_the_whole_sentence(damage: Damage, sentence: str) -> None:
    data = json.loads(json.dumps(RECORD.as_json()))
    damage(data)
    with pytest.raises(RunFolderError) as raised:
        read_record(data, "here/run.json")
    assert str(raised.value) == sentence.format("here/run.json")


def test_a_whole_number_may_stand_where_a_fraction_belongs() -> None:
    data = json.loads(json.dumps(RECORD.as_json()))
    data["perturbations"]["pixel"]["budget"] = 2
    budget = read_record(data, "run.json").perturbations["pixel"].budget
    assert budget == 2.0 and isinstance(budget, float)


@pytest.mark.parametrize(("length", "shown"), [(100, "x" * 100), (101, "x" * 97 + "...")])
def test_a_long_value_is_cut_to_a_hundred_characters(length: int, shown: str) -> None:
    now = replace(SITES, source=replace(SITES.source, spec="x" * length))
    assert list(differences(SITES, now)) == [f"images tiny before, {shown} now"]


def test_all_differences_are_whole_phrases() -> None:
    now = replace(SITES, options={"weights": "mine"}, search_options={"steps": 41}, judges=("b", "a"))
    assert list(differences(SITES, now)) == [
        "judges judge, other before, a, b now",
        "options {'weights': 'none', 'list': [1, 2]} before, {'weights': 'mine'} now",
        "search {'steps': 40, 'budget': 1.0} before, {'steps': 41} now",
    ]
