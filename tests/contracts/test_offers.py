"""Every offer of every plugin that comes with granu keeps the contracts."""

from __future__ import annotations

from importlib.metadata import distribution

import pytest

from granu.plugins.catalog import load_catalog
from granu.testing.contracts import check_import_without_torch, check_plugin

OURS = {entry.name: entry.value for entry in distribution("granu").entry_points if entry.group == "granu"}


@pytest.mark.parametrize("name", OURS)
def test_its_offers_are_in_order(name: str) -> None:
    check_plugin(name)


def test_no_plugin_module_imports_torch() -> None:
    check_import_without_torch(", ".join(OURS.values()))


def test_nothing_of_ours_is_broken_or_clashes() -> None:
    assert not load_catalog().load_errors
