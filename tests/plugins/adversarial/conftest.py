"""The tiny world as a plugin that is installed for the test, and defenses built from their specs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from granu import BuildContext, Defense, load_catalog


@pytest.fixture
def context(tiny_place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[BuildContext]:
    """A context whose catalog has the generator `tiny`."""
    monkeypatch.syspath_prepend(str(tiny_place))
    yield BuildContext(load_catalog(), cache=tmp_path / "cache")
    sys.modules.pop("fake_tiny", None)


@pytest.fixture
def build(context: BuildContext) -> Callable[[str], Defense]:
    """Build a defense from its spec, after the check that a command makes first."""

    def build(spec: str) -> Defense:
        from granu.plugins.spec import parse_spec

        resolved = context.catalog.resolve("defense", parse_spec(spec))
        if resolved.offer.check is not None:
            resolved.offer.check(resolved.options, context)
        return context.make(resolved)

    return build
