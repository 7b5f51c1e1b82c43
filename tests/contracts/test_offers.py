"""Every offer of granu's own plugins keeps the contracts."""

from __future__ import annotations

from importlib.metadata import distribution

import pytest

from granu import load_catalog
from granu.testing import check_import_without_torch, check_plugin

OURS = {entry.name: entry.value for entry in distribution("granu").entry_points if entry.group == "granu"}


@pytest.mark.parametrize("name", OURS)
def test_offers_keep_the_contract(name: str) -> None:
    check_plugin(name)


def test_no_plugin_module_imports_torch() -> None:
    check_import_without_torch(*OURS.values())


def test_no_plugin_is_broken_or_clashes() -> None:
    assert not load_catalog().load_errors
