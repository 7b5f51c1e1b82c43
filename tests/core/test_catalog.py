"""The catalog: names of offers, clashes, and how a spec finds its offer and options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from granu import (
    ClassifierOffer,
    DefenseOffer,
    GeneratorOffer,
    OptionError,
    PerturbationOffer,
    PluginError,
    SpecError,
    UnknownName,
    Weights,
    option,
)
from granu.plugins.catalog import Catalog, Entry, Resolved, load_catalog, make_catalog
from granu.plugins.discovery import DiscoveredPlugins, LoadError, Plugin
from granu.plugins.spec import parse_spec


@dataclass(frozen=True)
class Options:
    size: int = option(3, "how large", low=1)
    steps: int = option(10, "how many")


def perturbation(name: str, **settings: Any) -> PerturbationOffer:
    return PerturbationOffer(name=name, summary="s", make=lambda options, context: None, **settings)


def generator(name: str) -> GeneratorOffer:
    return GeneratorOffer(
        name=name, summary="s", make=lambda o, c: None, options=Options, sites=lambda o, c: (), weights=lambda o: ""
    )


def classifier(name: str) -> ClassifierOffer:
    return ClassifierOffer(name=name, summary="s", make=lambda options, context: None, options=Options, target="size")


WEIGHTS = Weights(name="net", summary="s", file=Path("net"), sha256="0", licence="l", source="s")
ONE = Plugin("one", "package-one", "1.2", (generator("gan"), classifier("net"), WEIGHTS))
TWO = Plugin("two", "package-two", "", (perturbation("checkers", options=Options, target="size"), perturbation("bare")))
BROKEN = LoadError("broken", "package 1", "cannot be imported", "ValueError: no", "Traceback ...")


@pytest.fixture
def catalog() -> Catalog:
    return make_catalog(DiscoveredPlugins([ONE, TWO], [BROKEN], ["blocked"]))


def test_every_offer_has_its_name_kind_and_origin(catalog: Catalog) -> None:
    listed = [(kind, entry.name, entry.plugin, entry.where) for kind, entry in catalog.all_entries()]
    assert listed == [
        ("generator", "gan", "one", "package-one 1.2"),
        ("classifier", "net", "one", "package-one 1.2"),
        ("weights", "net", "one", "package-one 1.2"),
        ("perturbation", "checkers", "two", "package-two"),
        ("perturbation", "bare", "two", "package-two"),
    ]
    assert catalog.find("generator", "gan") == Entry("gan", ONE.offers[0], "one", "package-one", "1.2")


def test_load_errors_and_blocked_plugins_are_copied_from_what_was_discovered() -> None:
    discovered = DiscoveredPlugins([ONE, ONE], [BROKEN], ["blocked"])
    catalog = make_catalog(discovered)
    assert catalog.load_errors[0] == BROKEN and catalog.blocked == ["blocked"]
    assert discovered.load_errors == [BROKEN]


def test_generators_are_perturbations_too_and_perturbations_are_no_generators(catalog: Catalog) -> None:
    assert list(catalog.of_kind("perturbation")) == ["gan", "checkers", "bare"]
    assert list(catalog.of_kind("generator")) == ["gan"]
    assert catalog.of_kind("dataset") == {}
    assert list(Catalog().of_kind("perturbation")) == []


def test_shipped_weights_are_listed_by_name(catalog: Catalog) -> None:
    assert catalog.weights == {"net": WEIGHTS}


@pytest.mark.parametrize(
    ("kind", "offers", "name"),
    [
        ("perturbation", (perturbation("gan"),), "late/gan"),  # generators and perturbations share names
        ("generator", (generator("checkers"),), "late/checkers"),
        ("classifier", (classifier("net"),), "late/net"),
        ("classifier", (classifier("gan"),), "gan"),  # another kind may have the name
        ("weights", (WEIGHTS,), "late/net"),
    ],
)
def test_the_first_offer_keeps_a_name_and_the_second_gets_its_plugins(kind: str, offers: Any, name: str) -> None:
    catalog = make_catalog(DiscoveredPlugins([ONE, TWO, Plugin("late", "package-late", "3", offers)]))
    assert catalog.find(kind, name).offer is offers[0]
    assert catalog.find("generator", "gan").offer is ONE.offers[0]
    assert len(catalog.load_errors) == ("/" in name)


def test_a_clash_is_reported_with_the_name_to_use() -> None:
    catalog = make_catalog(DiscoveredPlugins([TWO, Plugin("late", "package-late", "", (generator("checkers"),))]))
    (error,) = catalog.load_errors
    assert str(error) == (
        "plugin 'late' (package-late) offers a generator whose name is taken: "
        "'checkers' is taken by plugin 'two'; use 'late/checkers' instead"
    )
    with_version = make_catalog(DiscoveredPlugins([TWO, Plugin("late", "package", "3", (generator("checkers"),))]))
    assert with_version.load_errors[0].distribution == "package 3"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("chekers", UnknownName, "there is no perturbation named 'chekers'; did you mean 'checkers'?"),
        ("xyz", UnknownName, "there is no perturbation named 'xyz'; there are: gan, checkers, bare"),
        ("broken", PluginError,
            "plugin 'broken' (package 1) cannot be imported: ValueError: no; "
            "`granu list-plugins --verbose` prints the traceback"),
        ("broken/checkers/more", PluginError, "plugin 'broken' (package 1) cannot be imported: ValueError: no; "
            "`granu list-plugins --verbose` prints the traceback"),
        ("blocked", PluginError, "plugin 'blocked' is blocked; remove it from the environment variable GRANU_DISABLE"),
        ("blocked/thing", PluginError,
            "plugin 'blocked' is blocked; remove it from the environment variable GRANU_DISABLE"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_used_gives_the_reason(
    catalog: Catalog, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        catalog.find("perturbation", name)
    assert str(raised.value) == message


def test_a_spec_is_resolved_to_its_offer_and_options(catalog: Catalog) -> None:
    spec = parse_spec("checkers:4,steps=7")
    resolved = catalog.resolve("perturbation", spec)
    assert resolved == Resolved(spec, catalog.find("perturbation", "checkers"), Options(size=4, steps=7))
    assert resolved.offer is TWO.offers[0]


def test_options_of_others_are_left_out(catalog: Catalog) -> None:
    resolved = catalog.resolve("perturbation", parse_spec("checkers:4,steps=7,search=worst"), ("search", "steps"))
    assert resolved.options == Options(size=4, steps=10)


def test_a_generators_target_is_a_site_and_no_option(catalog: Catalog) -> None:
    resolved = catalog.resolve("generator", parse_spec("gan:layer1,size=5"))
    assert resolved.spec.target == "layer1" and resolved.options == Options(size=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bare:4", "`bare:4`: 'bare' takes no target; write its options as key=value"),
        ("checkers:4,size=5", "`checkers:4,size=5` gives 'size' twice, as the target and by name"),
        ("checkers:0", "`checkers:0`: size=0 is out of range; it must be at least 1"),
        ("checkers:4,stepz=5", "`checkers:4,stepz=5` has no option 'stepz'; did you mean 'steps'?"),
    ],
)
def test_a_spec_that_does_not_fit_its_offer_gives_the_reason(catalog: Catalog, text: str, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        catalog.resolve("perturbation", parse_spec(text))
    assert str(raised.value) == message


def test_the_installed_plugins_are_loaded() -> None:
    assert load_catalog().find("perturbation", "pixel").distribution == "granu"


def test_targets_of_a_sweep_are_a_list_or_depend_on_the_options() -> None:
    assert perturbation("p", targets=("l1", "l2")).sweep(Options()) == ("l1", "l2")
    assert perturbation("p", targets=lambda options: [str(options.size)]).sweep(Options(size=4)) == ["4"]
    assert perturbation("p").sweep(Options()) == ()


@dataclass(frozen=True)
class Nested:
    inner: str = option("", "specs")
    share: float = option(0.5, "how much")
    max_size: int = option(1, "how large")


DEFENSE = DefenseOffer(name="outer", summary="s", make=lambda o, c: None, options=Nested, target="inner", nested=True)
THREE = Plugin("three", "package-three", "", (DEFENSE,))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("outer", Nested()),
        ("outer:share=1", Nested("", 1.0)),
        ("outer:checkers", Nested("checkers")),
        ("outer:checkers:4", Nested("checkers:4")),
        ("outer:checkers:size=4", Nested("checkers:size=4")),
        ("outer:checkers,size=4,share=1", Nested("checkers:size=4", 1.0)),
        ("outer:checkers:size=4,steps=2,max_size=3", Nested("checkers:size=4,steps=2", 0.5, 3)),
        ("outer:checkers:share=0.1", Nested("checkers", 0.1)),
        ("outer:a:t,x=1|b:u,x=2,share=0", Nested("a:t,x=1|b:u,x=2", 0.0)),
        ("outer:a:t,share=0,x=1|b|c:y=1,max-size=2", Nested("a:t,x=1|b|c:y=1", 0.0, 2)),
        ("outer:inner=a:t", Nested("a:t")),
        ("outer:share=0|a:t", Nested("a:t", 0.0)),
    ],
)
def test_options_that_a_nested_offer_does_not_have_are_those_of_its_target(text: str, options: Nested) -> None:
    catalog = make_catalog(DiscoveredPlugins([THREE], []))
    resolved = catalog.resolve("defense", parse_spec(text))
    assert resolved.options == options
    again = catalog.resolve("defense", parse_spec(str(resolved.spec)))
    assert again.options == options


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("outer:a,share=1|b:share=2", OptionError, "gives the option 'share' of 'outer' twice"),
        ("outer:a:x=1,x=2", SpecError, "`outer:a:x=1,x=2` gives the option 'x' twice"),
        ("outer:a,inner=b", OptionError, "gives 'inner' twice, as the target and by name"),
        ("outer:shar=2", OptionError, "has no option 'shar'; did you mean 'share'"),
        ("outer:a,share=2x", OptionError, "share=2x is not a number"),
        ("outer: a b", SpecError, "does not begin with a name"),
    ],
)
def test_mistakes_in_a_nested_spec(text: str, error: type[Exception], message: str) -> None:
    catalog = make_catalog(DiscoveredPlugins([THREE], []))
    with pytest.raises(error, match=message):
        catalog.resolve("defense", parse_spec(text))


def test_only_nested_offers_take_several_specs(catalog: Catalog) -> None:
    with pytest.raises(OptionError, match=r"'checkers' takes no other specs; leave out what follows the sign \|"):
        catalog.resolve("perturbation", parse_spec("checkers:4|bare"))
