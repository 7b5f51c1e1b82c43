"""The build context: device, weights by name, a cache folder, and other offers by spec."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from granu.plugins.catalog import Catalog, Resolved
from granu.plugins.spec import parse_spec
from granu.weights import checkpoints


def cache_folder() -> Path:
    """Return the folder for results that can be computed again: $GRANU_CACHE, otherwise granu's in the user's cache."""
    if folder := os.environ.get("GRANU_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "granu"


@dataclass
class BuildContext:
    """The second argument of every offer's `make`, `check` and `sites`."""

    catalog: Catalog
    device: str = "cpu"
    cache: Path = field(default_factory=cache_folder)
    used_weights: dict[str, str] = field(default_factory=dict)  # name or path -> sha256, for run.json

    def weights(self, name: str) -> Path:
        """Return the file of a weights name or path, verify its checksum and record it in `used_weights`."""
        file = self.locate(name)
        self.used_weights[name] = checkpoints.verify(name, file, self.catalog.weights)
        return file

    def locate(self, name: str) -> Path:
        """Return the file of a weights name or path without reading it."""
        return checkpoints.locate(name, self.catalog.weights)

    def build(self, kind: str, spec: str) -> Any:
        """Build another plugin's offer from its spec text, so that plugins need not import each other."""
        return self.make(self.resolve(kind, spec))

    def check(self, kind: str, spec: str) -> None:
        """Raise what is wrong with a spec, as far as it is known before anything is built."""
        resolved = self.resolve(kind, spec)
        if resolved.offer.check is not None:
            resolved.offer.check(resolved.options, self)

    def resolve(self, kind: str, spec: str) -> Resolved:
        """Find the offer of a spec text and read its options."""
        return self.catalog.resolve(kind, parse_spec(spec))

    def make(self, resolved: Resolved) -> Any:
        """Build the offer of a resolved spec."""
        return resolved.offer.make(resolved.options, self)
