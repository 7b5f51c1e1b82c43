"""Names of sites in specs: `layer6`, or `layer4+layer6` for both at once."""

from __future__ import annotations

from collections.abc import Sequence

from granu.errors import OptionError, UnknownName
from granu.types import Site


def choose_sites(sites: Sequence[Site], target: str, where: str) -> list[Site]:
    """Return the sites that a target names, from coarse to fine; `where` is the spec as typed, for errors.

    Raises UnknownName, or OptionError if the site `image` is joined with others.
    """
    by_name = {site.name: site for site in sites}
    names = target.split("+")
    for name in names:
        if name not in by_name:
            raise UnknownName("site", name, by_name, where)
    chosen = [site for site in sites if site.name in names]
    if len(chosen) > 1 and any(site.scale == "pixel" for site in chosen):
        raise OptionError(f"`{where}`: 'image' is measured in pixels and cannot be joined with other sites")
    return chosen
