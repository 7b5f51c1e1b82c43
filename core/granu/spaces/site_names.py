"""Names of sites in specs: `layer6`, or `layer4+layer6` and `style*+noise*` for several at once."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from granu.errors import OptionError, UnknownName
from granu.types import Site


def choose_sites(sites: Sequence[Site], target: str, where: str) -> list[Site]:
    """Return the sites that a target names, from coarse to fine; `where` is the spec as typed, for errors.

    A wildcard means all sites that it fits, together. Raises UnknownName, or OptionError if the site `image` is joined
    with others.
    """
    names = [site.name for site in sites]
    found: set[str] = set()
    for part in target.split("+"):
        fitting = {name for name in names if fnmatch.fnmatchcase(name, part)}
        if not fitting:
            raise UnknownName("site", part, names, where)
        found |= fitting
    chosen = [site for site in sites if site.name in found]
    if len(chosen) > 1 and any(site.scale == "pixel" for site in chosen):
        raise OptionError(f"`{where}`: 'image' is measured in pixels and cannot be joined with other sites")
    return chosen
