"""Names to offers: who offers what, clashes, 'did you mean', and the perturbations derived from generators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from granu.errors import OptionError, PluginError, UnknownName
from granu.plugins.discovery import DiscoveredPlugins, LoadError, discover
from granu.plugins.offers import AnyOffer, GeneratorOffer, Offer, PerturbationOffer, Weights
from granu.plugins.options import read_options
from granu.plugins.spec import Spec


@dataclass(frozen=True)
class Entry:
    """An offer with where it came from; `name` is what a person types."""

    name: str
    offer: AnyOffer
    plugin: str
    distribution: str
    version: str

    @property
    def where(self) -> str:
        """Distribution and version, as in `granu 0.1.0`."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True)
class Resolved:
    """A spec with the offer it names and its options read; nothing is built yet."""

    spec: Spec
    entry: Entry
    options: Any

    @property
    def offer(self) -> Any:
        return self.entry.offer


@dataclass
class Catalog:
    """All offers by kind and name."""

    entries: dict[str, dict[str, Entry]] = field(default_factory=dict)
    load_errors: list[LoadError] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    def of_kind(self, kind: str) -> dict[str, Entry]:
        """The entries of one kind by name; generators count as perturbations too, since every one is a family."""
        if kind == "perturbation":
            return {**self.entries.get("generator", {}), **self.entries.get("perturbation", {})}
        return self.entries.get(kind, {})

    def find(self, kind: str, name: str) -> Entry:
        """The entry of that name. PluginError if a broken plugin bears it, otherwise UnknownName."""
        known = self.of_kind(kind)
        if name in known:
            return known[name]
        for load_error in self.load_errors:
            if name.split("/")[0] == load_error.plugin:
                raise PluginError(f"{load_error}; `granu list-plugins --verbose` shows where")
        if name.split("/")[0] in self.blocked:
            raise PluginError(f"plugin '{name}' is blocked by GRANU_DISABLE; take it out of that list")
        raise UnknownName(kind, name, known)

    def resolve(self, kind: str, spec: Spec, extra: Sequence[str] = ()) -> Resolved:
        """Read a spec's options for the offer it names; keys in `extra` are somebody else's and left alone."""
        entry = self.find(kind, spec.name)
        offer = entry.offer
        assert isinstance(offer, Offer)
        given = {key: value for key, value in spec.options if key not in extra}
        if spec.target is not None and not isinstance(offer, GeneratorOffer):
            if not offer.target:
                raise OptionError(f"`{spec}`: '{spec.name}' takes nothing bare after the colon")
            if offer.target in given:
                raise OptionError(f"`{spec}` gives '{offer.target}' twice, bare and by name")
            given[offer.target] = spec.target
        return Resolved(spec, entry, read_options(offer.options, given, str(spec)))

    @cached_property
    def weights(self) -> dict[str, Weights]:
        """Shipped weights by name."""
        return {
            name: entry.offer for name, entry in self.of_kind("weights").items() if isinstance(entry.offer, Weights)
        }

    def all_entries(self) -> Iterator[tuple[str, Entry]]:
        """(kind, entry) of everything that is offered."""
        for kind, entries in self.entries.items():
            for entry in entries.values():
                yield kind, entry


def load_catalog() -> Catalog:
    """Ask every plugin for its offers."""
    return make_catalog(discover())


def make_catalog(discovered: DiscoveredPlugins) -> Catalog:
    """Give each offer its name. Who comes first keeps it; a later one is reached as `plugin/name`, and message so.

    Generators and perturbations share one namespace, because a generator is a family of perturbations too.
    """
    catalog = Catalog(load_errors=list(discovered.load_errors), blocked=list(discovered.blocked))
    for plugin in discovered.plugins:
        for offer in plugin.offers:
            name = offer.name
            holder = _holder(catalog, offer)
            if holder is not None:
                name = f"{plugin.name}/{offer.name}"
                reason = f"'{offer.name}' is taken by plugin '{holder.plugin}'; reach it as '{name}'"
                where = f"{plugin.distribution} {plugin.version}".strip()
                catalog.load_errors.append(
                    LoadError(plugin.name, where, f"offers a {offer.kind} whose name clashes", reason)
                )
            entry = Entry(name, offer, plugin.name, plugin.distribution, plugin.version)
            catalog.entries.setdefault(offer.kind, {})[name] = entry
    return catalog


def _holder(catalog: Catalog, offer: AnyOffer) -> Entry | None:
    shared = "perturbation" if isinstance(offer, GeneratorOffer | PerturbationOffer) else offer.kind
    return catalog.of_kind(shared).get(offer.name)
