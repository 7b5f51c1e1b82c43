"""The catalog: every offer by kind and name, and how a spec finds its offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from granu.errors import OptionError, PluginError, SpecError, UnknownName
from granu.plugins.discovery import DiscoveredPlugins, LoadError, discover
from granu.plugins.offers import AnyOffer, DefenseOffer, GeneratorOffer, Offer, PerturbationOffer, Weights
from granu.plugins.options import describe_options, read_options
from granu.plugins.spec import Spec, parse_spec

LABEL = "label"  # the option of every classifier and perturbation that names it in reports
LABELLED = ("classifier", "perturbation")


@dataclass(frozen=True)
class Entry:
    """An offer and the plugin and distribution that it comes from; `name` is what a person types."""

    name: str
    offer: AnyOffer
    plugin: str
    distribution: str
    version: str

    @property
    def where(self) -> str:
        """Distribution and version, like `granu 0.1.0`."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True)
class Resolved:
    """A spec, the offer that it names and its parsed options. Nothing is built yet.

    `label` is what reports call it, empty where it was not given; it is no part of the spec, which identifies results.
    """

    spec: Spec
    entry: Entry
    options: Any
    label: str = ""

    @property
    def offer(self) -> Any:
        """The offer that the spec names."""
        return self.entry.offer


@dataclass
class Catalog:
    """All offers by kind and name, with the plugins that could not be loaded and those that are blocked."""

    entries: dict[str, dict[str, Entry]] = field(default_factory=dict)
    load_errors: list[LoadError] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    def of_kind(self, kind: str) -> dict[str, Entry]:
        """Return the entries of one kind by name. Generators count as perturbations too: each is a family."""
        if kind == "perturbation":
            return {**self.entries.get("generator", {}), **self.entries.get("perturbation", {})}
        return self.entries.get(kind, {})

    def find(self, kind: str, name: str) -> Entry:
        """Return the entry of a name.

        Raises PluginError if a plugin of that name is broken or blocked, UnknownName if there is none.
        """
        known = self.of_kind(kind)
        if name in known:
            return known[name]
        plugin = name.split("/")[0]
        for load_error in self.load_errors:
            if load_error.plugin == plugin:
                raise PluginError(f"{load_error}; `granu list-plugins --verbose` prints the traceback")
        if plugin in self.blocked:
            raise PluginError(f"plugin '{plugin}' is blocked; remove it from the environment variable GRANU_DISABLE")
        raise UnknownName(kind, name, known)

    def resolve_images(self, spec: Spec) -> Resolved:
        """Find what images come from: the generator of that name, otherwise the dataset.

        OptionError for a generator that draws no images.
        """
        resolved = self.resolve("generator" if spec.name in self.of_kind("generator") else "dataset", spec)
        offer = resolved.offer
        if isinstance(offer, GeneratorOffer) and not offer.can_draw(resolved.options):
            raise OptionError(f"`{spec}` encodes images and draws none; name a dataset, for example folder:val")
        return resolved

    def resolve(self, kind: str, spec: Spec, extra: Sequence[str] = ()) -> Resolved:
        """Find the offer that a spec names and read its options, but for the keys in `extra`, which others read.

        Raises PluginError, UnknownName or OptionError.
        """
        entry = self.find(kind, spec.name)
        offer = entry.offer
        assert isinstance(offer, Offer)
        if kind in LABELLED:
            spec, label = spec.without(LABEL)
            if label is not None:
                return replace(self.resolve(kind, spec, extra), label=label)
        if isinstance(offer, DefenseOffer) and offer.nested:
            return Resolved(spec, entry, read_options(offer.options, _with_nested(spec, offer), str(spec)))
        if spec.others:
            raise OptionError(f"`{spec}`: '{spec.name}' takes no other specs; leave out what follows the sign |")
        given = {key: value for key, value in spec.options if key not in extra}
        if spec.target is not None and not isinstance(offer, GeneratorOffer):
            if not offer.target:
                raise OptionError(f"`{spec}`: '{spec.name}' takes no target; write its options as key=value")
            if offer.target in given:
                raise OptionError(f"`{spec}` gives '{offer.target}' twice, as the target and by name")
            given[offer.target] = spec.target
        return Resolved(spec, entry, read_options(offer.options, given, str(spec)))

    @cached_property
    def weights(self) -> dict[str, Weights]:
        """Weights that plugins ship, by name."""
        return {
            name: entry.offer for name, entry in self.of_kind("weights").items() if isinstance(entry.offer, Weights)
        }

    def all_entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield (kind, entry) for every offer."""
        for kind, entries in self.entries.items():
            for entry in entries.values():
                yield kind, entry


def load_catalog() -> Catalog:
    """Load all installed plugins and name their offers."""
    return make_catalog(discover())


def make_catalog(discovered: DiscoveredPlugins) -> Catalog:
    """Name each offer. Where two have one name, the first keeps it and the other becomes `plugin/name`.

    Generators and perturbations share one namespace, because every generator is a family of perturbations.
    """
    catalog = Catalog(load_errors=list(discovered.load_errors), blocked=list(discovered.blocked))
    for plugin in discovered.plugins:
        for offer in plugin.offers:
            name = offer.name
            taken_by = _entry_of_same_name(catalog, offer)
            if taken_by is not None:
                name = f"{plugin.name}/{offer.name}"
                reason = f"'{offer.name}' is taken by plugin '{taken_by.plugin}'; use '{name}' instead"
                where = f"{plugin.distribution} {plugin.version}".strip()
                catalog.load_errors.append(
                    LoadError(plugin.name, where, f"offers a {offer.kind} whose name is taken", reason)
                )
            entry = Entry(name, offer, plugin.name, plugin.distribution, plugin.version)
            catalog.entries.setdefault(offer.kind, {})[name] = entry
    return catalog


def _with_nested(spec: Spec, offer: DefenseOffer) -> dict[str, str]:
    """The options of an offer whose target is other specs: its own as typed, and the text of those specs.

    The target may be given by name too: `gat:generator=stylegan,budget=0.1` is `gat:stylegan,budget=0.1`.
    """
    if spec.target is None and offer.target in dict(spec.options):
        spec, named = spec.without(offer.target)
        spec = replace(spec, target=named)
    own = {key for key, _, _ in describe_options(offer.options)}
    given = {} if spec.target is not None else dict(spec.options)
    inner: list[Spec] = []
    for one in _inner_specs(spec):
        mine = {key: value for key, value in one.options if key in own}
        if twice := sorted(given.keys() & mine):
            raise OptionError(f"`{spec}` gives the option '{twice[0]}' of '{spec.name}' twice")
        given |= mine
        inner.append(one.with_options({key: value for key, value in one.options if key not in own}))
    if inner and offer.target in given:
        raise OptionError(f"`{spec}` gives '{offer.target}' twice, as the target and by name")
    return given | ({offer.target: "|".join(map(str, inner))} if inner else {})


def _inner_specs(spec: Spec) -> list[Spec]:
    """The specs that a spec is made of; to the first belong all options behind it."""
    if spec.target is None:
        return [*spec.others]
    first = parse_spec(spec.target)
    if twice := sorted(dict(first.options).keys() & dict(spec.options)):
        raise SpecError(f"`{spec}` gives the option '{twice[0]}' twice")
    return [first.with_options({**dict(first.options), **dict(spec.options)}), *spec.others]


def _entry_of_same_name(catalog: Catalog, offer: AnyOffer) -> Entry | None:
    shared = "perturbation" if isinstance(offer, GeneratorOffer | PerturbationOffer) else offer.kind
    return catalog.of_kind(shared).get(offer.name)
