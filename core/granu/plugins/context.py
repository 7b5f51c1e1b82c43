"""What the house lends a builder: device, precision, weights by name, a cache, and other offers by spec."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from granu.plugins.catalog import Catalog, Resolved
from granu.plugins.spec import parse_spec
from granu.weights import checkpoints


def cache_folder() -> Path:
    """Where what can be computed again is kept: $GRANU_CACHE, else the user's cache folder."""
    if place := os.environ.get("GRANU_CACHE"):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "granu"


@dataclass
class BuildContext:
    """Handed to every offer's `make`."""

    catalog: Catalog
    device: str = "cpu"
    cache: Path = field(default_factory=cache_folder)
    used_weights: dict[str, str] = field(default_factory=dict)  # path -> sha256, for run.json

    def weights(self, name: str) -> Path:
        """The file of shipped weights or a path, checked; noted for the record of the run."""
        file = self.locate(name)
        self.used_weights[name] = checkpoints.verify(name, file, self.catalog.weights)
        return file

    def locate(self, name: str) -> Path:
        """The file that a weights name means, not yet checked."""
        return checkpoints.locate(name, self.catalog.weights)

    def build(self, kind: str, spec: str) -> Any:
        """Another offer's thing by its spec, so that plugins need not import each other."""
        return self.make(self.catalog.resolve(kind, parse_spec(spec)))

    def make(self, resolved: Resolved) -> Any:
        """Build what a resolved spec names."""
        return resolved.offer.make(resolved.options, self)
