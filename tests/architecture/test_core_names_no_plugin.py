"""The core takes every name from plugins: none of granu's own plugins, weights or specs is written in its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from granu.plugins.catalog import load_catalog

CORE = Path(__file__).parents[2] / "core" / "granu"
OTHER_MEANINGS = {
    "jpeg",
    "pixel",
    "python",
    "random",
    "standard",
}
# the format of thumbnails; the scale of a site; the language, whose version a run records; a search; how hard it tries


@cache
def offered() -> set[str]:
    """Names of all that granu's own plugins offer, and of the plugins themselves."""
    entries = [entry for _, entry in load_catalog().all_entries() if entry.distribution == "granu"]
    return {entry.name for entry in entries} | {entry.plugin for entry in entries}


def strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """The strings of a module that are no docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def test_there_are_names_to_look_for() -> None:
    assert {"stylegan", "zoo", "stylegan-mnist", "frequency", "folder"} <= offered()


@pytest.mark.parametrize("file", sorted(CORE.rglob("*.py")), ids=lambda file: str(file.relative_to(CORE)))
def test_no_string_of_the_core_is_a_plugins_name_or_a_spec_of_it(file: Path) -> None:
    names = "|".join(map(re.escape, sorted(offered() - OTHER_MEANINGS)))
    whole = re.compile(rf"({names})(:\S*)?")  # a sentence may give an example; it has spaces
    found = [node.value for node in strings(ast.parse(file.read_text())) if whole.fullmatch(str(node.value))]
    assert found == []
