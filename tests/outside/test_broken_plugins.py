"""A broken plugin becomes one clear line, the others work, and a command that names it ends with the reason."""

from __future__ import annotations

import json

import pytest

GOOD = """
import granu

@granu.hookimpl
def granu_perturbations():
    return [granu.PerturbationOffer(name="{name}", summary="does nothing", make=lambda options, context: None)]
"""

BROKEN = {
    "syntax-error": ("def broken(:\n", "cannot be imported: SyntaxError"),
    "missing-import": ("import nobody_has_this\n", "cannot be imported: ModuleNotFoundError"),
    "exits": ("import sys\nsys.exit('bye')\n", "cannot be imported: SystemExit: bye"),
    "wrong-argument": (
        "import granu\n@granu.hookimpl\ndef granu_perturbations(surprise):\n    return []\n",
        "has a hook that cannot be registered: PluginValidationError",
    ),
    "unknown-hook": (
        "import granu\n@granu.hookimpl\ndef granu_perturbation():\n    return []\n",
        "there is no hook 'granu_perturbation'",
    ),
    "raises": (
        "import granu\n@granu.hookimpl\ndef granu_perturbations():\n    raise RuntimeError('no luck')\n",
        "raises in a hook: RuntimeError: no luck",
    ),
    "no-offers": (
        "import granu\n@granu.hookimpl\ndef granu_perturbations():\n    return ['checkers']\n",
        "returned str in its list, not PerturbationOffer",
    ),
    "returns-nothing": (
        "import granu\n@granu.hookimpl\ndef granu_perturbations():\n    pass\n",
        "granu_perturbations returned None, not a list of PerturbationOffer",
    ),
    "no-hooks": ("x = 1\n", "it implements no hook"),
}


@pytest.fixture
def broken_plugins(fake_plugin):  # type: ignore[no-untyped-def]
    """Install all broken plugins at once, and a good one among them."""
    for name, (source, _) in BROKEN.items():
        fake_plugin(name, source)
    return fake_plugin("good", GOOD.format(name="good"))


def test_every_broken_plugin_is_one_line_and_the_rest_works(broken_plugins, granu) -> None:  # type: ignore[no-untyped-def]
    result = granu("list-plugins")
    assert result.returncode == 0 and result.stderr == ""
    for name, (_, reason) in BROKEN.items():
        lines = [line for line in result.stdout.splitlines() if line.startswith(f"broken: plugin '{name}'")]
        assert len(lines) == 1 and reason in lines[0], (name, lines)
    assert "does nothing" in result.stdout and "stylegan" in result.stdout


def test_verbose_prints_the_traceback(broken_plugins, granu) -> None:  # type: ignore[no-untyped-def]
    assert "no luck" in granu("list-plugins").stdout
    message = granu("list-plugins", "--verbose").stdout
    assert "Traceback" in message and "fake_raises.py" in message


def test_json_holds_offers_and_load_errors(broken_plugins, granu) -> None:  # type: ignore[no-untyped-def]
    data = json.loads(granu("list-plugins", "--json").stdout)
    assert {load_error["plugin"] for load_error in data["load_errors"]} == set(BROKEN)
    assert "good" in {offer["name"] for offer in data["offers"]}


@pytest.mark.parametrize("command", [("eval", "--perturb", "raises:3"), ("info", "raises")])
def test_a_command_that_names_a_broken_plugin_gives_the_reason(broken_plugins, granu, command) -> None:  # type: ignore[no-untyped-def]
    result = granu(*command)
    assert result.returncode == 2
    assert "no luck" in result.stderr and "Traceback" not in result.stderr


def test_a_clash_of_names_keeps_both_reachable(fake_plugin, granu) -> None:  # type: ignore[no-untyped-def]
    fake_plugin("namesake", GOOD.format(name="stylegan"))
    listed = granu("list-plugins").stdout
    assert "'stylegan' is taken by plugin 'stylegan'; use 'namesake/stylegan' instead" in listed
    assert granu("info", "namesake/stylegan").returncode == 0
    assert granu("info", "stylegan").returncode == 0


def test_a_blocked_plugin_is_not_loaded_but_listed_as_blocked(broken_plugins, granu) -> None:  # type: ignore[no-untyped-def]
    result = granu("list-plugins", GRANU_DISABLE="good,raises")
    assert "does nothing" not in result.stdout and "no luck" not in result.stdout
    assert "blocked by GRANU_DISABLE: good" in result.stdout
    named = granu("eval", "--perturb", "good", GRANU_DISABLE="good")
    assert named.returncode == 2 and "GRANU_DISABLE" in named.stderr


def test_listing_plugins_imports_no_torch(run_python) -> None:  # type: ignore[no-untyped-def]
    code = (
        "import sys; from granu.plugins.catalog import load_catalog; load_catalog(); sys.exit('torch' in sys.modules)"
    )
    assert run_python(code).returncode == 0
    code = "import sys, granu.cli; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'scipy', 'matplotlib')))"
    assert run_python(code).returncode == 0
