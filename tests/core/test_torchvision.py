"""A torchvision that does not fit torch is hidden from packages that work without one."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from granu import without_broken_torchvision


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a torchvision in place of the one installed, if any."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "torchvision.py"
    sys.modules.pop("torchvision", None)


def test_one_that_raises_looks_absent_and_only_inside(installed: Path) -> None:
    installed.write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    with without_broken_torchvision():
        assert importlib.util.find_spec("torchvision") is None
        with pytest.raises(ImportError):
            importlib.import_module("torchvision")
    assert importlib.util.find_spec("torchvision") is not None
    with pytest.raises(RuntimeError, match="nms"):
        importlib.import_module("torchvision")


def test_one_that_imports_is_left_alone(installed: Path) -> None:
    installed.write_text("number = 7")
    with without_broken_torchvision():
        module = importlib.import_module("torchvision")
    assert module.number == 7


def test_it_comes_back_after_an_error_inside(installed: Path) -> None:
    installed.write_text("raise RuntimeError")
    with pytest.raises(KeyError), without_broken_torchvision():
        raise KeyError
    assert sys.modules.get("torchvision", "") is not None
