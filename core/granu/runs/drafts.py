"""Drafts: what each spec of a perturbation says by itself, before the images of the request are chosen."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from granu.errors import OptionError, UnknownName
from granu.plugins.catalog import LABEL, Catalog, Resolved
from granu.plugins.context import BuildContext
from granu.plugins.offers import GeneratorOffer, PerturbationOffer
from granu.plugins.options import read_options
from granu.plugins.spec import Spec, parse_spec
from granu.runs.plan import PlannedSearch, PlannedSource
from granu.search.options import SEARCH_KEYS, read_search
from granu.spaces.bands import band_factors
from granu.spaces.site_names import choose_sites
from granu.spaces.site_options import SITE_KEYS, SiteOptions, read_site_options
from granu.types import Site


@dataclass(frozen=True)
class Draft:
    """A perturbation as far as its own spec says: the images are not chosen yet."""

    key: str
    resolved: Resolved
    search: PlannedSearch | None
    sites: tuple[Site, ...] = ()
    generator: PlannedSource | None = None  # whose sites they are
    site_options: SiteOptions = field(default_factory=SiteOptions)

    @property
    def draws(self) -> bool:
        """True if its generator can draw the images."""
        return self.generator is not None and self.generator.draws

    @property
    def encodes(self) -> bool:
        """True if its generator can encode given images."""
        return self.generator is not None and self.generator.encodes


PRESERVE = "preserve"  # the option of searches


def draft(catalog: Catalog, context: BuildContext, text: str, preserve: bool = False) -> Iterator[Draft]:
    """One perturbation for each target that a spec means; a label is followed by the target if there are several.

    With `preserve`, searches preserve the label unless the spec says whether they do.
    """
    spec, label = parse_spec(text).without(LABEL)
    offer = catalog.find("perturbation", spec.name).offer
    if isinstance(offer, GeneratorOffer):
        drafts = list(_draft_sites(catalog, context, _preserving(spec) if preserve else spec))
    else:
        assert isinstance(offer, PerturbationOffer)
        drafts = list(_draft_changes(catalog, offer, spec, preserve))
    for one in drafts:
        name = label if label is None or len(drafts) == 1 else f"{label}:{one.resolved.spec.target}"
        yield one if name is None else replace(one, resolved=replace(one.resolved, label=name))


def _preserving(spec: Spec) -> Spec:
    return spec.with_options({PRESERVE: "yes", **dict(spec.options)})


def _draft_changes(catalog: Catalog, offer: PerturbationOffer, spec: Spec, preserve: bool) -> Iterator[Draft]:
    extra = SEARCH_KEYS if offer.searched else ()
    own = {key: value for key, value in spec.options if key not in extra}
    options: Any = read_options(offer.options, own, str(spec))
    if preserve and offer.is_searched(options):
        spec = _preserving(spec)
    for target in _expand(spec.target, offer.sweep(options)):
        one = spec if target is None else spec.with_target(target)
        resolved = catalog.resolve("perturbation", one, extra)
        searched = offer.is_searched(resolved.options)
        if not searched:
            _refuse_search_options(one, extra)
        yield Draft(str(one), resolved, _search(one) if searched else None)


def _refuse_search_options(spec: Spec, keys: Sequence[str]) -> None:
    """OptionError for options of searches where the other options leave nothing to search."""
    if given := list(_given(spec, keys)):
        raise OptionError(f"`{spec}` is not searched with these options, so remove {', '.join(given)}")


def _draft_sites(catalog: Catalog, context: BuildContext, spec: Spec) -> Iterator[Draft]:
    search = _search(spec)
    resolved = catalog.resolve("perturbation", spec, (*SEARCH_KEYS, *SITE_KEYS))
    options = read_site_options(_generator_offer(resolved), _given(spec, SITE_KEYS), str(spec))
    generator = _generator(catalog, resolved)
    sites = resolved.offer.sites(resolved.options, context)
    for target in _expand(spec.target or "all", [site.name for site in sites]):
        one = spec.with_target(str(target))
        chosen = choose_sites(sites, str(target), str(spec))
        band_factors(chosen, options.bands, sites[-1].shape[-1], str(spec))  # raises what is wrong with them
        yield Draft(str(one), replace(resolved, spec=one), search, tuple(chosen), generator, options)


def _generator_offer(resolved: Resolved) -> GeneratorOffer:
    assert isinstance(resolved.offer, GeneratorOffer)
    return resolved.offer


def _generator(catalog: Catalog, resolved: Resolved) -> PlannedSource:
    """The generator whose sites a perturbation edits, without what belongs to the site and its search."""
    own = tuple((k, v) for k, v in resolved.spec.options if k not in (*SEARCH_KEYS, *SITE_KEYS))
    return PlannedSource("generator", catalog.resolve("generator", Spec(resolved.entry.name, None, own)))


def _search(spec: Spec) -> PlannedSearch:
    return PlannedSearch(*read_search(_given(spec, SEARCH_KEYS), str(spec)))


def _given(spec: Spec, keys: Sequence[str]) -> dict[str, str]:
    return {key: value for key, value in spec.options if key in keys}


def _expand(target: str | None, known: Sequence[str]) -> list[str | None]:
    """`all` and wildcards as the names they mean, coarse to fine; anything else unchanged."""
    if target is None or not known:
        return [target]
    if target == "all":
        return list(known)
    if "+" in target or not any(sign in target for sign in "*?["):  # joined targets are one, with their wildcards
        return [target]
    matching = [name for name in known if fnmatch.fnmatchcase(name, target)]
    if not matching:
        raise UnknownName("target", target, known)
    return list(matching)
