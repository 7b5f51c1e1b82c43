"""Imports between the core, plugins and examples are those that docs/design.md allows."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import granu

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "granu"
PLUGINS = ROOT / "plugins"

WITHOUT_TORCH = (
    "__init__", "errors", "files", "types", "plugins/spec", "plugins/options", "plugins/offers", "plugins/hooks",
    "plugins/discovery", "plugins/catalog", "plugins/context", "plugins/values", "weights/checkpoints",
    "weights/preprocessing", "weights/trained", "spaces/bands", "spaces/site_names",
    "runs/plan", "runs/planning", "runs/suites",
    "runs/trials", "runs/records", "runs/run", "runs/writer", "runs/gallery",
    "runs/provenance", "runs/devices", "report/statistics",
    "training/settings", "training/plan", "training/planning", "training/schedule", "cli/train",
    "hardening/__init__", "hardening/settings", "hardening/plan", "hardening/planning", "cli/harden",
)  # fmt: skip

HEAVY = {"torch", "numpy", "scipy", "matplotlib", "PIL", "safetensors", "rich"}

# a recipe trains the network that another plugin loads; it is run by hand, not by granu
RECIPES = PLUGINS / "granu_zoo" / "train"

# these examples measure parts of the core that no plugin needs
MEASUREMENTS = {"autoattack.py", "biggan_memory.py", "encode_error.py", "frequency_margins.py", "search_costs.py",
                "sparse_pixel_benchmark.py", "workers_benchmark.py"}  # fmt: skip
AUTHORS = [
    file
    for file in sorted([*PLUGINS.rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
    if file.name not in MEASUREMENTS
]


def imports(file: Path, *, everywhere: bool) -> Iterator[str]:
    """Modules that a file imports: everywhere in it, or only while it is imported itself."""
    tree = ast.parse(file.read_text())
    nodes = ast.walk(tree) if everywhere else iter(running(tree.body))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def running(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported, without those under TYPE_CHECKING."""
    for statement in body:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" not in ast.unparse(statement.test):
            yield from running(statement.body)
        elif not isinstance(statement, ast.If):
            yield statement


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_modules_that_must_load_fast_import_nothing_heavy(name: str) -> None:
    found = {module.split(".")[0] for module in imports(CORE / f"{name}.py", everywhere=False)}
    assert not found & HEAVY


@pytest.mark.parametrize("file", files(CORE), ids=lambda file: str(file.relative_to(CORE)))
def test_the_core_imports_no_plugin(file: Path) -> None:
    assert not [module for module in imports(file, everywhere=True) if module.startswith("granu_")]


@pytest.mark.parametrize("file", files(PLUGINS), ids=lambda file: str(file.relative_to(PLUGINS)))
def test_plugins_do_not_import_each_other(file: Path) -> None:
    if RECIPES in file.parents:
        return
    own = file.relative_to(PLUGINS).parts[0]
    others = [m for m in imports(file, everywhere=True) if m.startswith("granu_") and m.split(".")[0] != own]
    assert not others


def test_only_cli_show_imports_rich() -> None:
    importers = [file for file in files(CORE) if any(m.split(".")[0] == "rich" for m in imports(file, everywhere=True))]
    assert importers == [CORE / "cli" / "show.py"]


def core_imports(file: Path) -> set[str]:
    """Modules of the core that a file imports, and of `granu` itself the names, as `granu.Name`."""
    modules = {m for m in imports(file, everywhere=True) if m.startswith("granu.") and m != "granu.testing"}
    tree = ast.parse(file.read_text())
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "granu"]
    return modules | {f"granu.{alias.name}" for node in froms for alias in node.names}


@pytest.mark.parametrize("file", AUTHORS, ids=lambda file: str(file.relative_to(ROOT)))
def test_plugins_and_examples_import_only_public_names(file: Path) -> None:
    assert core_imports(file) <= {"granu.testing", *(f"granu.{name}" for name in granu.__all__)}


def test_all_public_names_resolve_and_no_others_are_exposed() -> None:
    assert granu.__all__ == sorted(granu.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(hasattr(granu, name) for name in granu.__all__)
    submodules = {file.stem for file in CORE.iterdir() if file.suffix == ".py" or file.is_dir()}
    exposed = {name for name in dir(granu) if not name.startswith("_")} - submodules
    assert exposed - {"annotations", "importlib", "TYPE_CHECKING", "Any"} == set(granu.__all__)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'granu' has no attribute 'Painter'"):
        granu.Painter  # noqa: B018


def test_importing_granu_imports_nothing_heavy() -> None:
    code = f"import sys, granu; print(*(sys.modules.keys() & {HEAVY!r}))"
    environment = {**os.environ, "PYTHONPATH": str(CORE.parent)}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not answer.stdout.strip()


def test_python_dash_m_granu_is_the_command() -> None:
    environment = {**os.environ, "PYTHONPATH": str(CORE.parent)}
    command = [sys.executable, "-m", "granu", "--version"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == f"granu {granu.__version__}"


def test_every_file_has_a_docstring() -> None:
    undocumented = [
        str(file.relative_to(ROOT))
        for file in files(CORE) + files(PLUGINS) + files(ROOT / "tests")
        if file.read_text().strip() and not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert not undocumented


MEASURING = (
    "granu.hardening.planning",
    "granu.runs.planning",
    "granu.search",
    "granu.training.planning",
    "granu.weights.checkpoints",
)


def test_listing_plugins_imports_nothing_that_only_measuring_or_training_needs() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['granu', 'list-plugins', '--json']\n"
        "from granu.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        f"    print(*(sys.modules.keys() & set({MEASURING!r})), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert '"kind": "perturbation"' in done.stdout and done.stderr.split() == []
