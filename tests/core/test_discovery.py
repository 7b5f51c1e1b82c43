"""Loading of plugins: the order, what a plugin offers, and each way in which a plugin can fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest

from granu import PerturbationOffer, Weights
from granu.plugins.discovery import DiscoveredPlugins, LoadError, Plugin, discover

Discover = Callable[..., DiscoveredPlugins]

HOOKS = (
    "granu_generators, granu_perturbations, granu_classifiers, granu_defenses, granu_datasets, granu_weights, "
    "granu_suites"
)
HOOK = "import granu\n@granu.hookimpl\ndef granu_perturbations():\n"
OFFER = "granu.PerturbationOffer(name='checkers', summary='s', make=None)"

# name -> source, stage, reason
BROKEN = {
    "syntax": ("def broken(:\n", "cannot be imported", "SyntaxError: invalid syntax (fake_syntax.py, line 1)"),
    "missing": ("import nowhere\n", "cannot be imported", "ModuleNotFoundError: No module named 'nowhere'"),
    "exits": ("import sys\nsys.exit('bye')\n", "cannot be imported", "SystemExit: bye"),
    "silent": ("raise ValueError\n", "cannot be imported", "ValueError"),
    "lines": ("raise ValueError('one\\ntwo')\n", "cannot be imported", "ValueError: one"),
    "no-hooks": ("x = 1\n", "has a hook that cannot be registered",
        f"TypeError: it implements no hook; mark one of {HOOKS} with @granu.hookimpl"),
    "unknown-hook": ("import granu\n@granu.hookimpl\ndef granu_perturbation():\n    return []\n",
        "has a hook that cannot be registered",
        f"TypeError: there is no hook 'granu_perturbation'; the hooks are {HOOKS}"),
    "raises": (f"{HOOK}    raise RuntimeError('no luck')\n", "raises in a hook", "RuntimeError: no luck"),
    "no-list": (f"{HOOK}    return 3\n", "raises in a hook",
        "TypeError: granu_perturbations returned int, not a list of PerturbationOffer"),
    "returns-none": (f"{HOOK}    pass\n", "raises in a hook",
        "TypeError: granu_perturbations returned None, not a list of PerturbationOffer"),
    "no-offers": (f"{HOOK}    return [{OFFER}, 'checkers']\n", "raises in a hook",
        "TypeError: granu_perturbations returned str in its list, not PerturbationOffer"),
    "wrong-kind": (f"{HOOK}    return [granu.ClassifierOffer(name='c', summary='s', make=None)]\n", "raises in a hook",
        "TypeError: granu_perturbations returned ClassifierOffer in its list, not PerturbationOffer"),
}  # fmt: skip


@pytest.fixture
def discover_with(fake_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Discover]:
    """Install made-up plugins, then load all plugins."""

    def load(sources: dict[str, str], disable: str | None = None) -> DiscoveredPlugins:
        for name, source in sources.items():
            monkeypatch.syspath_prepend(str(fake_plugin(name, source)))
        if disable is not None:
            monkeypatch.setenv("GRANU_DISABLE", disable)
        return discover()

    yield load
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


def good(name: str = "checkers") -> str:
    return f"{HOOK}    return (granu.PerturbationOffer(name='{name}', summary='s', make=None),)\n"


def test_a_plugin_is_loaded_with_its_offers_and_where_they_come_from(discover_with: Discover) -> None:
    (plugin,) = [plugin for plugin in discover_with({"good": good()}).plugins if plugin.name == "good"]
    assert plugin == Plugin("good", "fake_good", "1.0", plugin.offers)
    assert [(type(offer), offer.name) for offer in plugin.offers] == [(PerturbationOffer, "checkers")]


def test_granus_own_plugins_come_first_and_each_group_is_in_order_of_its_names(discover_with: Discover) -> None:
    plugins = discover_with({"zebra": good(), "aardvark": good()}).plugins
    assert [plugin.name for plugin in plugins][-2:] == ["aardvark", "zebra"]
    own = [plugin.name for plugin in plugins[:-2]]
    assert own == sorted(own) and "pixel" in own
    assert {(p.distribution, p.version) for p in plugins[:-2]} == {("granu", version("granu"))}


def test_offers_of_all_hooks_are_collected_in_the_hooks_order(discover_with: Discover) -> None:
    weights = "granu.Weights(name='w', summary='s', file=None, sha256='', licence='', source='')"
    source = (
        f"import granu\n@granu.hookimpl\ndef granu_weights():\n    return [{weights}]\n{good()[len('import granu') :]}"
    )
    (plugin,) = [plugin for plugin in discover_with({"both": source}).plugins if plugin.name == "both"]
    assert [type(offer) for offer in plugin.offers] == [PerturbationOffer, Weights]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_a_load_error_with_stage_and_reason(name: str, discover_with: Discover) -> None:
    source, stage, reason = BROKEN[name]
    discovered = discover_with({name: source})
    module = f"fake_{name.replace('-', '_')}"
    (error,) = discovered.load_errors
    assert error == LoadError(name, f"{module} 1.0", stage, reason, error.details)
    assert str(error) == f"plugin '{name}' ({module} 1.0) {stage}: {reason}"
    assert name not in [plugin.name for plugin in discovered.plugins]
    assert error.details.startswith("Traceback") and reason.split(":")[0] in error.details
    assert "\n" in error.details and "\n\n" not in error.details.strip()


def test_a_hook_with_another_signature_is_a_load_error(discover_with: Discover) -> None:
    source = "import granu\n@granu.hookimpl\ndef granu_perturbations(surprise):\n    return []\n"
    (error,) = discover_with({"signature": source}).load_errors
    assert error.stage == "has a hook that cannot be registered"
    assert error.reason.startswith("PluginValidationError: Plugin 'signature' for hook 'granu_perturbations'")


def test_one_broken_plugin_does_not_keep_others_from_loading(discover_with: Discover) -> None:
    sources = {name: source for name, (source, _, _) in BROKEN.items()}
    discovered = discover_with({**sources, "zebra": good()})
    assert [error.plugin for error in discovered.load_errors] == sorted(BROKEN)
    assert [plugin.name for plugin in discovered.plugins][-1] == "zebra"


def test_an_interrupt_while_a_plugin_is_imported_ends_the_command(discover_with: Discover) -> None:
    with pytest.raises(KeyboardInterrupt):
        discover_with({"slow": "raise KeyboardInterrupt\n"})


def test_blocked_plugins_are_listed_and_not_imported(discover_with: Discover) -> None:
    discovered = discover_with({"exits": BROKEN["exits"][0], "good": good()}, disable="pixel, exits ,nobody")
    assert discovered.blocked == ["pixel", "exits"] and not discovered.load_errors
    names = [plugin.name for plugin in discovered.plugins]
    assert "pixel" not in names and names[-1] == "good"


def test_nothing_is_blocked_unless_named(discover_with: Discover) -> None:
    discovered = discover_with({"XXXX": good()}, disable="")
    assert discovered.blocked == [] and discovered.plugins[-1].name == "XXXX"


def test_an_entry_point_without_a_distribution_is_loaded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [EntryPoint("pixel", "granu_pixel", "granu"), EntryPoint("absent", "nowhere", "granu")]
    monkeypatch.setattr("granu.plugins.discovery.entry_points", lambda *, group: entries if group == "granu" else [])
    discovered = discover()
    (plugin,), (error,) = discovered.plugins, discovered.load_errors
    assert (plugin.name, plugin.distribution, plugin.version) == ("pixel", "unknown distribution", "")
    assert str(error).startswith("plugin 'absent' (unknown distribution) cannot be imported: ModuleNotFoundError")


def test_a_broken_plugin_leaves_its_name_to_another(discover_with: Discover, monkeypatch: pytest.MonkeyPatch) -> None:
    discover_with({"unknown-hook": BROKEN["unknown-hook"][0], "good": good()})
    entries = [EntryPoint("twin", module, "granu") for module in ("fake_good", "fake_unknown_hook")]
    monkeypatch.setattr("granu.plugins.discovery.entry_points", lambda *, group: entries)
    monkeypatch.setattr("granu.plugins.discovery._own_plugins_first", lambda entry: entry.value != "fake_unknown_hook")
    discovered = discover()
    assert [plugin.name for plugin in discovered.plugins] == [error.plugin for error in discovered.load_errors]


def test_details_are_the_traceback_line_by_line(discover_with: Discover) -> None:
    (error,) = discover_with({"raises": BROKEN["raises"][0]}).load_errors
    first, *_, last = error.details.splitlines()
    assert (first, last) == ("Traceback (most recent call last):", "RuntimeError: no luck")
