"""Loading of plugins: each entry point becomes a plugin or a load error; no exception of a plugin leaves this file.

pluggy's own loader stops at the first plugin that raises and leaves it half registered, so this file loops over
importlib.metadata's entry points itself.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from granu.plugins import hooks
from granu.plugins.offers import KINDS, AnyOffer

GROUP = "granu"


@dataclass(frozen=True)
class Plugin:
    """A plugin that was loaded, with its offers."""

    name: str
    distribution: str
    version: str
    offers: tuple[AnyOffer, ...]


@dataclass(frozen=True)
class LoadError:
    """A plugin that cannot be used, or an offer of it that cannot keep its name.

    `stage` completes a sentence that begins with the plugin ("cannot be imported"), `reason` is one line, and
    `details` holds the traceback, if there is one.
    """

    plugin: str
    distribution: str
    stage: str
    reason: str
    details: str = ""

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' ({self.distribution}) {self.stage}: {self.reason}"


@dataclass
class DiscoveredPlugins:
    """The result of `discover`: plugins that loaded, plugins that did not, and names that GRANU_DISABLE blocks."""

    plugins: list[Plugin] = field(default_factory=list)
    load_errors: list[LoadError] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)


def discover() -> DiscoveredPlugins:
    """Load every entry point of the group `granu` except those that GRANU_DISABLE (names with commas between) lists."""
    disabled = {name.strip() for name in os.environ.get("GRANU_DISABLE", "").split(",")}
    discovered = DiscoveredPlugins()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    for entry in sorted(entry_points(group=GROUP), key=_own_plugins_first):
        if entry.name in disabled:
            discovered.blocked.append(entry.name)
            continue
        try:
            discovered.plugins.append(_load(manager, entry))
        except _LoadFailed as failure:
            discovered.load_errors.append(failure.load_error)
    return discovered


class _LoadFailed(Exception):
    def __init__(self, load_error: LoadError) -> None:
        super().__init__(str(load_error))
        self.load_error = load_error


def _own_plugins_first(entry: EntryPoint) -> tuple[bool, str, str]:
    """Sort key: granu's own plugins first, so that they keep their names, then the others by name."""
    return (_distribution(entry)[0] != "granu", entry.name, entry.value)


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown distribution", "")


def _load(manager: pluggy.PluginManager, entry: EntryPoint) -> Plugin:
    module = _guard(entry, "cannot be imported", entry.load)
    _guard(entry, "has a hook that cannot be registered", lambda: _register(manager, module, entry.name))
    offers = tuple(_guard(entry, "raises in a hook", lambda: list(_collect(manager, module))))
    return Plugin(entry.name, *_distribution(entry), offers)


def _guard(entry: EntryPoint, stage: str, act: Callable[[], Any]) -> Any:
    """Return `act()`; an exception in it becomes a load error at `stage`."""
    try:
        return act()
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # a plugin may call sys.exit while it is imported
        reason = f"{type(problem).__name__}: {problem}".strip(": ").splitlines()[0]
        name, version = _distribution(entry)
        details = "".join(traceback.format_exception(problem))
        raise _LoadFailed(LoadError(entry.name, f"{name} {version}".strip(), stage, reason, details)) from None


def _register(manager: pluggy.PluginManager, module: Any, name: str) -> None:
    try:
        manager.register(module, name)
        _refuse_unknown_hooks(manager, module)
    except BaseException:
        # pluggy stores the name before it verifies the hooks
        if manager.is_registered(module):
            manager.unregister(module)
        raise
    if not manager.get_hookcallers(module):
        raise TypeError(f"it implements no hook; mark one of {', '.join(hooks.HOOKS)} with @granu.hookimpl")


def _refuse_unknown_hooks(manager: pluggy.PluginManager, module: Any) -> None:
    for caller in manager.get_hookcallers(module) or []:
        if not caller.has_spec():
            raise TypeError(f"there is no hook '{caller.name}'; the hooks are {', '.join(hooks.HOOKS)}")


def _collect(manager: pluggy.PluginManager, module: Any) -> Iterator[AnyOffer]:
    for hook, kind in hooks.HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is not module:
                continue
            offers = implementation.function()
            if not isinstance(offers, list | tuple):
                raise TypeError(f"{hook} returned {_noun(offers)}, not a list of {KINDS[kind].__name__}")
            for offer in offers:
                if not isinstance(offer, KINDS[kind]):
                    raise TypeError(f"{hook} returned {_noun(offer)} in its list, not {KINDS[kind].__name__}")
                assert isinstance(offer, AnyOffer)  # one of KINDS is
                yield offer


def _noun(thing: Any) -> str:
    return "None" if thing is None else type(thing).__name__
