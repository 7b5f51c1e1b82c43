"""Planning: from a request to a plan, in which everything that can be known before weights load is checked.

Specs are parsed here and nowhere else in the core: what leaves this module are values. It takes a fraction of a second
and needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from granu.errors import OptionError
from granu.plugins.catalog import Catalog, Resolved
from granu.plugins.context import BuildContext
from granu.plugins.offers import GeneratorOffer, PerturbationOffer, Weights
from granu.plugins.spec import Spec, parse_spec
from granu.runs.drafts import Draft, draft
from granu.runs.plan import EvalPlan, PlannedPerturbation, PlannedSource, PlannedSpace, Request
from granu.runs.planned_images import plan_images
from granu.search.options import PgdOptions, WorstOptions


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
    drafts = [one for text in request.perturbations for one in draft(catalog, context, text, bool(request.guides))]
    drafts = list({one.key: one for one in drafts}.values())
    sources = plan_images(catalog, request.data, drafts, recorded_sources or {})
    perturbations = tuple(
        PlannedPerturbation(
            one.key,
            one.resolved,
            one.search,
            source,
            _judges(catalog, request, [one.generator or source, source]),
            _guides(catalog, request, one),
            one.sites,
            one.generator,
            one.site_options,
        )
        for one, source in zip(drafts, sources, strict=True)
    )
    generators = [one for p in perturbations for one in (p.generator, p.source) if one is not None]
    plan = EvalPlan(request, perturbations, _classifiers(catalog, request, generators))
    _check_guides(plan)
    _check_labels(plan.opened)
    _check_labels([p.resolved for p in perturbations])
    for resolved in _everything_named(plan):
        if resolved.offer.check is not None:
            resolved.offer.check(resolved.options, context)
    return plan


def plan_spaces(spec: str, context: BuildContext, defaults: Mapping[str, str] | None = None) -> list[PlannedSpace]:
    """Plan the spaces in which a budget is spent, of a spec or of several joined by `|`; one for each target.

    `defaults` are options that apply where a spec does not give them; without them a search is `search=pgd`. Raises
    the GranuError of the first mistake; in particular OptionError for a perturbation that opens no space, and for a
    search of the smallest change.
    """
    first = parse_spec(spec)
    defaults = {"search": PgdOptions.name, **(defaults or {})}
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
        raise OptionError(f"`{spec}` searches by itself and opens no space; training needs one that takes search=pgd")
    if dict(spec.options).get("search") == WorstOptions.name:
        raise OptionError(f"`{spec}`: search=worst is for evaluation; training attacks by search=pgd, so leave it out")
    for one in draft(catalog, context, str(spec.with_options({**defaults, **dict(spec.options)}))):
        assert one.search is not None  # the offer is searched
        if one.search.options.preserve:
            raise OptionError(f"`{spec}`: training has no guides that could keep the label; leave preserve= out")
        if one.search.budget is None:
            raise OptionError(f"`{spec}`: search={one.search.name} spends no budget; leave it out and give budget=")
        if one.generator is not None and not one.draws:
            raise OptionError(
                f"`{spec}` draws no images, and training at a generator's sites needs images that it draws"
            )
        if one.resolved.offer.check is not None:
            one.resolved.offer.check(one.resolved.options, context)
        yield PlannedSpace(one.key, one.resolved, one.search, one.generator, one.sites, one.site_options)


def _classifiers(catalog: Catalog, request: Request, generators: Sequence[PlannedSource]) -> tuple[Resolved, ...]:
    asked: Sequence[str | Resolved] = request.classifiers
    if not asked:
        weights = _weights(catalog, generators)
        asked = weights.classifiers[:1] if weights else ()
    if not asked:
        raise OptionError("name a classifier with --classifier, for example --classifier zoo:mnist-cnn")
    return _resolve_classifiers(catalog, asked)


def _judges(catalog: Catalog, request: Request, generators: Sequence[PlannedSource]) -> tuple[Resolved, ...]:
    """The request's judges; unless it says, those that come with the weights of the generator."""
    if request.judges is not None:
        return _resolve_classifiers(catalog, request.judges)
    weights = _weights(catalog, generators)
    return _resolve_classifiers(catalog, weights.judges) if weights else ()


def _guides(catalog: Catalog, request: Request, drafted: Draft) -> tuple[Resolved, ...]:
    """The request's guides, where the search preserves the label."""
    if drafted.search is None or not drafted.search.options.preserve:
        return ()
    if not request.guides:
        raise OptionError(
            f"`{drafted.key}`: preserve=yes needs classifiers that must keep the label; name them with --guide "
            "(guides= in Python), for example --guide zoo:mnist-judge-resnet"
        )
    return _resolve_classifiers(catalog, request.guides)


def _check_guides(plan: EvalPlan) -> None:
    """OptionError where guides guide nothing, or a classifier would be its own only guide."""
    if plan.request.guides and not plan.guides:
        raise OptionError(
            "--guide needs a perturbation that granu searches and that preserves the label; these search by "
            "themselves, or say preserve=no"
        )
    for classifier in plan.classifiers:
        for one in plan.perturbations:
            if one.guides and not one.guides_of(classifier):
                raise OptionError(
                    f"`{classifier.spec}` is the only guide, and no guide against itself; name another with --guide"
                )


def _resolve_classifiers(catalog: Catalog, asked: Sequence[str | Resolved]) -> tuple[Resolved, ...]:
    resolved = [one if isinstance(one, Resolved) else catalog.resolve("classifier", parse_spec(one)) for one in asked]
    return tuple({str(one.spec): one for one in resolved}.values())


def _weights(catalog: Catalog, generators: Sequence[PlannedSource]) -> Weights | None:
    """The shipped weights of the first generator that has such."""
    for one in generators:
        offer = one.resolved.offer
        if isinstance(offer, GeneratorOffer) and (w := catalog.weights.get(offer.weights(one.resolved.options))):
            return w
    return None


def _everything_named(plan: EvalPlan) -> list[Resolved]:
    named = [*plan.opened, *(p.resolved for p in plan.perturbations)]
    return [*named, *{p.source.key: p.source.resolved for p in plan.perturbations}.values()]


def _check_labels(named: Sequence[Resolved]) -> None:
    """OptionError where a label names two things."""
    specs: dict[str, set[str]] = {}
    for one in named:
        if one.label:
            specs.setdefault(one.label, set()).add(str(one.spec))
    for label, same in specs.items():
        if len(same) > 1:
            raise OptionError(f"label={label} is given to {' and '.join(sorted(same))}; give each a label of its own")


def _check_numbers(request: Request) -> None:
    for name, value, low in (("count", request.count, 1), ("batch", request.batch, 1), ("keep", request.keep, 0)):
        if value < low:
            raise OptionError(f"--{name} {value} is too small; it must be at least {low}")
