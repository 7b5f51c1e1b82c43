"""`granu info NAME`: one offer with its options, targets, weights, licence and citation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from granu.cli import show
from granu.errors import UnknownName, WeightsError
from granu.plugins.catalog import Catalog, Entry, load_catalog
from granu.plugins.offers import ClassifierOffer, GeneratorOffer, Offer, PerturbationOffer, Suite, Weights
from granu.plugins.options import describe_options
from granu.plugins.spec import Spec, parse_spec
from granu.wording import shown

MOST_SHOWN = 10  # of a list in a file's header
LONGEST_VALUE = 300  # characters


def info(
    name: Annotated[str, typer.Argument(help="A name from `granu list-plugins`, or a spec with options.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show an offer's options, sites, licence and citation."""
    catalog, spec = load_catalog(), parse_spec(name)
    entries = [entry for _, entry in catalog.all_entries() if spec.name in (entry.name, entry.plugin)]
    if not entries:
        if any(load_error.plugin == spec.name for load_error in catalog.load_errors):
            catalog.find("perturbation", spec.name)  # raises PluginError with the reason
        raise UnknownName("plugin or offer", spec.name, [entry.name for _, entry in catalog.all_entries()])
    described = [_describe(catalog, entry, spec) for entry in entries]
    if as_json:
        show.as_json(described)
        return
    for about in described:
        _print(about)


def _describe(catalog: Catalog, entry: Entry, spec: Spec) -> dict[str, Any]:
    from granu.plugins.context import BuildContext

    offer = entry.offer
    about: dict[str, Any] = {
        "name": entry.name,
        "kind": offer.kind,
        "summary": offer.summary,
        "plugin": entry.plugin,
        "distribution": entry.where,
        "licence": offer.licence,
    }
    if isinstance(offer, Weights):
        return about | {
            "source": offer.source,
            "sha256": offer.sha256,
            "classifiers": list(offer.classifiers),
            "judges": list(offer.judges),
        }
    if isinstance(offer, Suite):
        from granu.runs.suites import read_suite

        suite = read_suite(offer.file)
        return about | {"title": suite.title, "about": suite.about, "perturbations": list(suite.perturbations)}
    assert isinstance(offer, Offer)
    about["cite"] = list(offer.cite)
    about["options"] = _options(offer)
    if isinstance(offer, GeneratorOffer):
        from granu.search.options import SEARCH_KEYS
        from granu.spaces.site_options import SITE_KEYS

        context = BuildContext(catalog)
        given = spec if spec.name == entry.name else Spec(entry.name)
        resolved = catalog.resolve("generator", given, (*SEARCH_KEYS, *SITE_KEYS))
        about["draws"], about["encodes"] = offer.can_draw(resolved.options), offer.can_encode(resolved.options)
        about["weights"] = offer.weights(resolved.options)
        try:
            sites = offer.sites(resolved.options, context)
            about["holds"] = dict(offer.describe(resolved.options, context)) if offer.describe else {}
        except WeightsError as error:
            if about["weights"]:
                raise
            sites, about["needs"] = [], str(error)  # it ships no weights, and the spec names none
        about["sites"] = [
            {"name": s.name, "shape": list(s.shape), "unit": s.scale, "summary": s.summary} for s in sites
        ]
    if isinstance(offer, PerturbationOffer):
        about["targets"] = list(offer.sweep(offer.options()))
    if isinstance(offer, ClassifierOffer):
        about["models"] = list(offer.models)
        if offer.describe is not None and spec != Spec(spec.name) and spec.name == entry.name:
            resolved = catalog.resolve("classifier", spec)
            about["holds"] = dict(offer.describe(resolved.options, BuildContext(catalog)))
    return about


def _options(offer: Offer) -> list[dict[str, str]]:
    from granu.search.options import describe_searches
    from granu.spaces.site_options import describe_site_options

    rows = describe_options(offer.options)
    if isinstance(offer, GeneratorOffer):
        rows += describe_site_options(offer)
    if isinstance(offer, GeneratorOffer) or (isinstance(offer, PerturbationOffer) and offer.searched):
        rows += describe_searches()
    return [{"name": name, "default": default, "help": help_} for name, default, help_ in rows]


def _print_held(key: str, value: Any) -> None:
    """Print one entry of a file's header; a mapping on lines of its own."""
    heading = shown(key)
    if not isinstance(value, Mapping):
        show.say(f"  {heading}: {_plain(value)}")
        return
    show.say(f"  {heading}:")
    for name, inner in value.items():
        show.say(f"    {shown(name)}: {_plain(inner)}")


def _plain(value: Any) -> str:
    """A value from a file on one line, safe to print; a dash for none."""
    if value in (None, "", [], (), {}):
        return "-"
    if isinstance(value, list | tuple):
        text = ", ".join(_plain(one) for one in value[:MOST_SHOWN])
        return text + (f" and {len(value) - MOST_SHOWN} more" if len(value) > MOST_SHOWN else "")
    if isinstance(value, Mapping):
        return ", ".join(f"{shown(key)} {_plain(one)}" for key, one in value.items())
    return shown(value, LONGEST_VALUE)


def _images(draws: bool, encodes: bool) -> str:
    """Say in words whether a generator draws its images or encodes given ones."""
    ways = [("draws its own", draws), ("encodes those of --data", encodes)]
    return " and ".join(text for text, does in ways if does) or "none"


def _print(about: dict[str, Any]) -> None:
    show.say(f"{about['name']}  ({about['kind']}, plugin {about['plugin']} of {about['distribution']})")
    show.say(f"  {about['summary']}")
    if "draws" in about:
        show.say(f"  images: {_images(about['draws'], about['encodes'])}")
    for key in ("title", "about", "licence", "source", "weights", "sha256"):
        if about.get(key):
            show.say(f"  {key}: {about[key]}")
    for key, value in about.get("holds", {}).items():
        _print_held(key, value)
    for key in ("cite", "targets", "models", "perturbations", "classifiers", "judges"):
        if about.get(key):
            show.say(f"  {key}: {', '.join(about[key])}")
    if about.get("options"):
        show.say("")
        heads = ("  option", "default", "description")
        show.columns(heads, [(f"  {o['name']}", o["default"], o["help"]) for o in about["options"]])
    if about.get("needs"):
        show.say("")
        show.say(f"  {about['needs']}")
    if about.get("sites"):
        show.say("")
        sites = [(f"  {s['name']}", " x ".join(map(str, s["shape"])), s["unit"], s["summary"]) for s in about["sites"]]
        show.columns(("  site", "shape", "unit", "description"), sites)
    show.say("")
