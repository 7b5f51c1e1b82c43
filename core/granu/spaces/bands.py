"""Bands of joined sites, coarse to fine, and how far each may go for one budget; without torch."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence

from granu.errors import OptionError, UnknownName
from granu.types import Site

COARSEST = 4  # side of a generator's first feature map, in pixels
EXAMPLES = "bands=4+2+1 for coarse, middle and fine sites, or bands=style*:1+noise*:6"


def band_of(site: Site, side: int) -> int:
    """Return 0 for a coarse, 1 for a middle, 2 for a fine site of images of `side` pixels.

    Bands are equal thirds between 4 pixels and the image on a logarithmic scale: of images of 32 pixels, 4 and 8 are
    coarse, 16 is middle and 32 is fine. A vector without a resolution acts on the whole image and is coarse.
    """
    resolution = site.resolution or (site.shape[-1] if len(site.shape) > 1 else COARSEST)
    if side <= COARSEST or resolution <= COARSEST:
        return 0
    share = math.log(resolution / COARSEST) / math.log(side / COARSEST)
    return min(math.ceil(round(3 * share, 6)) - 1, 2)


def band_factors(sites: Sequence[Site], bands: str, side: int, where: str) -> Mapping[str, float]:
    """Return how many budgets each joined site may go, by name: all 1 if `bands` is empty.

    `bands` is three numbers, coarse to fine, or numbers by name of the site with wildcards. `where` is the spec as
    typed, for errors. OptionError for text that is neither, and where a site has no number.
    """
    if not bands:
        return {site.name: 1.0 for site in sites}
    if len(sites) < 2:
        raise OptionError(f"`{where}`: bands= divides a budget among joined sites; join several, or leave it out")
    parts = bands.split("+")
    if not any(":" in part for part in parts):
        if len(parts) != 3:
            raise OptionError(f"`{where}`: bands={bands} is not three numbers; write it like {EXAMPLES}")
        numbers = [_number(part, bands, where) for part in parts]
        return {site.name: numbers[band_of(site, side)] for site in sites}
    return _named_factors(sites, parts, bands, where)


def _named_factors(sites: Sequence[Site], parts: Sequence[str], bands: str, where: str) -> Mapping[str, float]:
    """The number of the first pattern that fits each site."""
    factors: dict[str, float] = {}
    names = [site.name for site in sites]
    for part in parts:
        pattern, _, number = part.partition(":")
        fitting = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not fitting:
            raise UnknownName("site", pattern, names, where)
        value = _number(number, bands, where)
        factors = {name: value for name in fitting} | factors
    if missing := [name for name in names if name not in factors]:
        raise OptionError(f"`{where}`: bands={bands} has no number for '{missing[0]}'; write it like {EXAMPLES}")
    return factors


def _number(text: str, bands: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise OptionError(f"`{where}`: '{text}' in bands={bands} is no positive number; write it like {EXAMPLES}")
    return value
