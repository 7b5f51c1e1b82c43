"""Who may import whom, as docs/design.md draws it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "granu"
PLUGINS = ROOT / "plugins"

WITHOUT_TORCH = (
    "__init__", "errors", "files", "types", "plugins/spec", "plugins/options", "plugins/offers", "plugins/hooks",
    "plugins/discovery", "plugins/catalog", "plugins/context", "weights/checkpoints", "spaces/site_names", "runs/plan",
    "runs/trials", "runs/folder", "runs/gallery", "runs/provenance", "runs/devices", "report/statistics",
)  # fmt: skip

# the recipe trains the very network that the other plugin loads; it is run by hand, not by granu
RECIPES = PLUGINS / "granu_zoo" / "train"


def imports(file: Path, *, everywhere: bool) -> Iterator[str]:
    """Names of modules that a file imports: at its top level as it runs, or everywhere in it."""
    tree = ast.parse(file.read_text())
    nodes = ast.walk(tree) if everywhere else iter(running(tree.body))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def running(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported; what stands under TYPE_CHECKING does not."""
    for statement in body:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" not in ast.unparse(statement.test):
            yield from running(statement.body)
        elif not isinstance(statement, ast.If):
            yield statement


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_modules_that_must_load_fast_import_nothing_heavy(name: str) -> None:
    heavy = {"torch", "numpy", "scipy", "matplotlib", "PIL", "safetensors", "rich"}
    found = {module.split(".")[0] for module in imports(CORE / f"{name}.py", everywhere=False)}
    assert not found & heavy


@pytest.mark.parametrize("file", files(CORE), ids=lambda file: str(file.relative_to(CORE)))
def test_the_core_knows_no_plugin(file: Path) -> None:
    assert not [module for module in imports(file, everywhere=True) if module.startswith("granu_")]


@pytest.mark.parametrize("file", files(PLUGINS), ids=lambda file: str(file.relative_to(PLUGINS)))
def test_plugins_do_not_import_each_other(file: Path) -> None:
    if RECIPES in file.parents:
        return
    own = file.relative_to(PLUGINS).parts[0]
    others = [m for m in imports(file, everywhere=True) if m.startswith("granu_") and m.split(".")[0] != own]
    assert not others


def test_only_cli_show_imports_rich() -> None:
    knowing = [file for file in files(CORE) if any(m.split(".")[0] == "rich" for m in imports(file, everywhere=True))]
    assert knowing == [CORE / "cli" / "show.py"]


def test_the_public_names_are_these() -> None:
    import granu

    public = {name for name in vars(granu) if not name.startswith("_")}
    modules = {file.stem for file in CORE.iterdir() if file.suffix == ".py" or file.is_dir()}
    assert public - modules == set(granu.__all__) - modules
    assert granu.__all__ == sorted(granu.__all__, key=lambda name: (name.islower(), name))


def test_every_file_has_a_docstring() -> None:
    silent = [
        str(file.relative_to(ROOT))
        for file in files(CORE) + files(PLUGINS) + files(ROOT / "tests")
        if file.read_text().strip() and not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert not silent
