"""A made-up plugin: a generator with a style and noise maps that draws and encodes, and a network to train."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gat_world import STYLED

from granu import BuildContext, Defense, load_catalog


@pytest.fixture
def place(tiny_place: Path, fake_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of made-up plugins, installed for commands and for this process."""
    folder = fake_plugin("styled", STYLED)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


@pytest.fixture
def context(place: Path, tmp_path: Path) -> BuildContext:
    """A context whose catalog has the generators `tiny` and `styled`."""
    return BuildContext(load_catalog(), cache=tmp_path / "cache")


@pytest.fixture
def build(context: BuildContext) -> Callable[[str], Defense]:
    """Build a defense from its spec, after the check that a command makes first."""

    def build(spec: str) -> Defense:
        resolved = context.resolve("defense", spec)
        context.check("defense", spec)
        return context.make(resolved)

    return build
