"""Planning: from a request to a plan, in which everything that can be known before weights load is checked.

Specs are parsed here and nowhere else in the core: what leaves this module are values. It takes a fraction of a second
and needs no torch.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from granu.errors import OptionError, UnknownName
from granu.plugins.catalog import Catalog, Resolved
from granu.plugins.context import BuildContext
from granu.plugins.offers import GeneratorOffer, PerturbationOffer, Weights
from granu.plugins.options import option, read_options
from granu.plugins.spec import Spec, parse_spec
from granu.runs.plan import EvalPlan, PlannedPerturbation, PlannedSearch, PlannedSource, PlannedSpace, Request
from granu.search.options import SEARCH_KEYS, WorstOptions, read_search
from granu.spaces.site_names import choose_sites
from granu.types import Site


@dataclass(frozen=True)
class SiteOptions:
    """Options that the core adds to a generator's when it derives perturbations from it."""

    samples: int = option(
        1000, "clean samples per class that measure each neuron's standard deviation", low=2, high=1_000_000
    )


SITE_KEYS = ("samples",)


def make_plan(
    catalog: Catalog, context: BuildContext, request: Request, recorded_sources: Mapping[str, str] | None = None
) -> EvalPlan:
    """Check everything that can be known before weights load; raises the GranuError of the first mistake.

    `recorded_sources` are the images that perturbations of an earlier command on the same folder used, by key: a
    repeated perturbation uses them again unless the request names others.
    """
    _check_numbers(request)
    if not request.perturbations:
        raise OptionError("say what to change with --perturb or --suite, for example --perturb stylegan:layer6")
    drafts = [draft for text in request.perturbations for draft in _draft(catalog, context, text)]
    drafts = list({draft.key: draft for draft in drafts}.values())
    sources = _sources(catalog, request, drafts, recorded_sources or {})
    classifiers = _classifiers(catalog, request, sources)
    perturbations = tuple(
        PlannedPerturbation(
            draft.key,
            draft.resolved,
            draft.search,
            source,
            _judges(catalog, request, source),
            draft.sites,
            draft.samples,
        )
        for draft, source in zip(drafts, sources, strict=True)
    )
    plan = EvalPlan(request, perturbations, classifiers)
    for resolved in _everything_named(plan):
        if resolved.offer.check is not None:
            resolved.offer.check(resolved.options, context)
    return plan


def plan_spaces(spec: str, context: BuildContext, defaults: Mapping[str, str] | None = None) -> list[PlannedSpace]:
    """Plan the spaces in which a budget is spent, of a spec or of several joined by `|`; one for each target.

    `defaults` are options that apply where a spec does not give them; without them a search is `search=worst`. Raises
    the GranuError of the first mistake; in particular OptionError for a perturbation that opens no space, and for a
    search of the smallest change.
    """
    first = parse_spec(spec)
    defaults = {"search": WorstOptions.name, **(defaults or {})}
    return [
        planned
        for one in (replace(first, others=()), *first.others)
        for planned in _plan_spaces(context.catalog, context, one, defaults)
    ]


def _plan_spaces(
    catalog: Catalog, context: BuildContext, spec: Spec, defaults: Mapping[str, str]
) -> Iterator[PlannedSpace]:
    offer = catalog.find("perturbation", spec.name).offer
    if isinstance(offer, PerturbationOffer) and not offer.searched:
        raise OptionError(f"`{spec}` searches by itself and opens no space; training needs one that takes search=worst")
    for draft in _draft(catalog, context, str(spec.with_options({**defaults, **dict(spec.options)}))):
        assert draft.search is not None  # the offer is searched
        if draft.search.budget is None:
            raise OptionError(f"`{spec}`: search={draft.search.name} spends no budget; leave it out and give budget=")
        generator = _own_source(catalog, draft) if draft.sites else None
        if draft.resolved.offer.check is not None:
            draft.resolved.offer.check(draft.resolved.options, context)
        yield PlannedSpace(draft.key, draft.resolved, draft.search, generator, draft.sites, draft.samples)


@dataclass(frozen=True)
class _Draft:
    """A perturbation as far as its own spec tells: the images are not chosen yet."""

    key: str
    resolved: Resolved
    search: PlannedSearch | None
    sites: tuple[Site, ...] = ()
    samples: int = 0


def _draft(catalog: Catalog, context: BuildContext, text: str) -> Iterator[_Draft]:
    """One perturbation for each target that a spec means."""
    spec = parse_spec(text)
    offer = catalog.find("perturbation", spec.name).offer
    if isinstance(offer, GeneratorOffer):
        yield from _draft_sites(catalog, context, spec)
        return
    assert isinstance(offer, PerturbationOffer)
    extra = SEARCH_KEYS if offer.searched else ()
    own = {key: value for key, value in spec.options if key not in extra}
    for target in _expand(spec.target, offer.sweep(read_options(offer.options, own, text))):
        one = spec if target is None else spec.with_target(target)
        resolved = catalog.resolve("perturbation", one, extra)
        searched = offer.is_searched(resolved.options)
        if not searched:
            _refuse_search_options(one, extra)
        yield _Draft(str(one), resolved, _search(one) if searched else None)


def _refuse_search_options(spec: Spec, keys: Sequence[str]) -> None:
    """OptionError for options of searches where the other options leave nothing to search."""
    if given := list(_given(spec, keys)):
        raise OptionError(f"`{spec}` is not searched with these options, so remove {', '.join(given)}")


def _draft_sites(catalog: Catalog, context: BuildContext, spec: Spec) -> Iterator[_Draft]:
    search = _search(spec)
    samples = read_options(SiteOptions, _given(spec, SITE_KEYS), str(spec)).samples
    resolved = catalog.resolve("perturbation", spec, (*SEARCH_KEYS, *SITE_KEYS))
    sites = resolved.offer.sites(resolved.options, context)
    for target in _expand(spec.target or "all", [site.name for site in sites]):
        one = spec.with_target(str(target))
        chosen = choose_sites(sites, str(target), str(spec))
        yield _Draft(str(one), replace(resolved, spec=one), search, tuple(chosen), samples)


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
    if not any(sign in target for sign in "*?["):
        return [target]
    matching = [name for name in known if fnmatch.fnmatchcase(name, target)]
    if not matching:
        raise UnknownName("target", target, known)
    return list(matching)


def _sources(
    catalog: Catalog, request: Request, drafts: Sequence[_Draft], recorded: Mapping[str, str]
) -> list[PlannedSource]:
    """The images of each perturbation: a generator's own at its sites, otherwise the request's."""
    if request.data is not None and all(draft.sites for draft in drafts):
        raise OptionError("--data is for changes to images; the sites of a generator draw their own")
    own = [_own_source(catalog, draft) if draft.sites else None for draft in drafts]
    given = None if request.data is None else _named_source(catalog, request.data)
    drawn = next((source for source in own if source), None)
    sources = []
    for draft, source in zip(drafts, own, strict=True):
        if source is None and given is None and draft.key in recorded:
            source = _named_source(catalog, recorded[draft.key])
        sources.append(source or given or drawn or _default_source(catalog))
    return sources


def _own_source(catalog: Catalog, draft: _Draft) -> PlannedSource:
    """The generator whose sites a perturbation edits."""
    spec = draft.resolved.spec
    own = tuple((k, v) for k, v in spec.options if k not in (*SEARCH_KEYS, *SITE_KEYS))
    return _source_of(catalog, Spec(draft.resolved.entry.name, None, own))


def _named_source(catalog: Catalog, data: str | Resolved) -> PlannedSource:
    return PlannedSource("dataset", data) if isinstance(data, Resolved) else _source_of(catalog, parse_spec(data))


def _source_of(catalog: Catalog, spec: Spec) -> PlannedSource:
    resolved = catalog.resolve_images(spec)
    return PlannedSource(resolved.offer.kind, resolved)


def _default_source(catalog: Catalog) -> PlannedSource:
    """The generator that shipped weights claim as the default."""
    named = next((weights.default_source for weights in catalog.weights.values() if weights.default_source), "")
    if not named:
        raise OptionError("say where images come from with --data, for example --data folder:val")
    return _named_source(catalog, named)


def _classifiers(catalog: Catalog, request: Request, sources: Sequence[PlannedSource]) -> tuple[Resolved, ...]:
    asked: Sequence[str | Resolved] = request.classifiers
    if not asked:
        weights = next((w for source in sources if (w := _weights(catalog, source))), None)
        asked = weights.classifiers[:1] if weights else ()
    if not asked:
        raise OptionError("name a classifier with --classifier, for example --classifier zoo:mnist-cnn")
    return _resolve_classifiers(catalog, asked)


def _judges(catalog: Catalog, request: Request, source: PlannedSource) -> tuple[Resolved, ...]:
    """The request's judges; unless it says, those that come with the weights of the generator that drew the images."""
    if request.judges is not None:
        return _resolve_classifiers(catalog, request.judges)
    weights = _weights(catalog, source)
    return _resolve_classifiers(catalog, weights.judges) if weights else ()


def _resolve_classifiers(catalog: Catalog, asked: Sequence[str | Resolved]) -> tuple[Resolved, ...]:
    resolved = [one if isinstance(one, Resolved) else catalog.resolve("classifier", parse_spec(one)) for one in asked]
    return tuple({str(one.spec): one for one in resolved}.values())


def _weights(catalog: Catalog, source: PlannedSource) -> Weights | None:
    """The shipped weights of a generator."""
    offer = source.resolved.offer
    return catalog.weights.get(offer.weights(source.resolved.options)) if isinstance(offer, GeneratorOffer) else None


def _everything_named(plan: EvalPlan) -> list[Resolved]:
    named = [*plan.classifiers, *plan.judges, *(p.resolved for p in plan.perturbations)]
    return [*named, *{p.source.key: p.source.resolved for p in plan.perturbations}.values()]


def _check_numbers(request: Request) -> None:
    for name, value, low in (("count", request.count, 1), ("batch", request.batch, 1), ("keep", request.keep, 0)):
        if value < low:
            raise OptionError(f"--{name} {value} is too small; it must be at least {low}")
