"""Every search by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from granu.search.base import Search
from granu.search.deepfool import DeepFool
from granu.search.dunn2020 import Dunn2020
from granu.search.madry2018 import Pgd
from granu.search.options import SearchOptions
from granu.search.random import Random
from granu.search.smallest import Smallest
from granu.search.worst import Worst

CLASSES: Mapping[str, type[Search[Any]]] = {cls.name: cls for cls in (Smallest, DeepFool, Dunn2020, Worst, Pgd, Random)}


def make_search(name: str, options: SearchOptions) -> Search[Any]:
    """The search named `name` with its options, as `granu.search.options.read_search` gives both."""
    return CLASSES[name](options)
