"""Tests run the code of this checkout, whatever granu is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"granu": ROOT / "core" / "granu", "granu_pixel": ROOT / "plugins" / "granu_pixel"}


@pytest.mark.parametrize("package", PACKAGES)
def test_this_process_imports_the_checkout(package: str) -> None:
    assert Path(str(import_module(package).__file__)).parent == PACKAGES[package]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_new_process_imports_the_checkout(package: str, run_python) -> None:  # type: ignore[no-untyped-def]
    result = run_python(f"import {package}; print({package}.__file__)")
    assert Path(result.stdout.strip()).parent == PACKAGES[package]


def test_a_command_in_a_process_of_its_own_imports_the_checkout(granu_process: Callable) -> None:  # type: ignore[type-arg]
    process = granu_process("--version", before="import granu; print(granu.__file__)")
    output, _ = process.communicate()
    assert Path(output.splitlines()[0]).parent == PACKAGES["granu"]
