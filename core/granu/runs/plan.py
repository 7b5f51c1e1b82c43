"""All that a run will do, checked, frozen, printable as JSON; made without torch, in a fraction of a second."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from granu.plugins.catalog import Catalog, Resolved
from granu.errors import OptionError, UnknownName
from granu.plugins.offers import GeneratorOffer, PerturbationOffer, Weights
from granu.plugins.options import option, option_values, read_options
from granu.search.options import SEARCH_KEYS, SearchOptions
from granu.spaces.site_names import choose_sites
from granu.plugins.spec import Spec, parse_spec
from granu.types import Site
from granu.plugins.context import BuildContext

DEFAULT_GENERATOR = "stylegan"


@dataclass(frozen=True)
class SiteOptions:
    """What the core adds to a generator's options when it derives perturbations from it."""

    samples: int = option(1000, "clean samples per class that measure each neuron's deviation;", low=2, high=1_000_000)


SITE_KEYS = ("samples",)


@dataclass(frozen=True)
class Request:
    """What a person asked for, as typed."""

    perturbations: tuple[str, ...]
    classifiers: tuple[str, ...] = ()
    judges: tuple[str, ...] | None = None  # None: those that come with the generator's weights
    data: str | None = None
    count: int = 50
    seed: int = 0
    batch: int = 50
    keep: int = 4
    device: str = "cpu"
    precision: str = "float32"


@dataclass(frozen=True)
class PlannedPerturbation:
    """One column of the result: a perturbation at one target, with how it is searched."""

    key: str  # the spec as typed with options sorted; a result's name
    resolved: Resolved
    search: SearchOptions | None  # None: the perturbation searches by itself
    sites: tuple[Site, ...] = ()  # of a generator, where the core derived it
    samples: int = 0

    @property
    def scope(self) -> str:
        """What the random streams are named after: the key without the path of weights, which machines differ in."""
        spec = self.resolved.spec
        return str(Spec(spec.name, spec.target, tuple((k, v) for k, v in spec.options if k != "weights")))

    @property
    def generator(self) -> str | None:
        """The generator's own spec, without target and search; perturbations that share it share its images."""
        return generator_key(self.resolved) if self.sites else None


@dataclass(frozen=True)
class EvalPlan:
    """A run: a matrix of classifiers and perturbations over `count` images."""

    request: Request
    perturbations: tuple[PlannedPerturbation, ...]
    classifiers: tuple[Resolved, ...]
    judges: tuple[Resolved, ...]
    data: Resolved | None  # a dataset or a generator, for perturbations that bring no images of their own

    def identity(self) -> dict[str, Any]:
        """What every trial depends on beside its own key; a folder holds one of these."""
        return {
            "seed": self.request.seed,
            "data": str(self.data.spec) if self.data and self._needs_data else None,
            "judges": [str(judge.spec) for judge in self.judges],
            "precision": self.request.precision,
        }

    @property
    def _needs_data(self) -> bool:
        return any(p.generator is None for p in self.perturbations)

    def as_json(self) -> dict[str, Any]:
        """For `--dry-run --json` and `run.json`: asked and resolved side by side."""
        return {
            "asked": dataclasses.asdict(self.request),
            "classifiers": [_told(c) for c in self.classifiers],
            "judges": [_told(j) for j in self.judges],
            "data": _told(self.data) if self.data else None,
            "perturbations": [
                {
                    **_told(p.resolved),
                    "spec": p.key,
                    "sites": [{"name": s.name, "shape": list(s.shape), "scale": s.scale} for s in p.sites],
                    "search": option_values(p.search) if p.search else None,
                    "samples": p.samples,
                }
                for p in self.perturbations
            ],
        }


def make_plan(catalog: Catalog, context: BuildContext, request: Request) -> EvalPlan:
    """Check everything that can be known before weights load; raises the GranuError of the first mistake."""
    _check_numbers(request)
    if not request.perturbations:
        raise OptionError("say what to change with --perturb, for example --perturb stylegan:layer6")
    planned = _unique([p for text in request.perturbations for p in _plan_one(catalog, context, text)])
    data = _plan_data(catalog, request, planned)
    weights = _generator_weights(catalog, planned, data)
    classifiers = request.classifiers or (weights.classifiers[:1] if weights else ())
    if not classifiers:
        raise OptionError("name a classifier with --classifier, for example --classifier zoo:mnist-cnn")
    judges = request.judges if request.judges is not None else (weights.judges if weights else ())
    taking_part = [parse_spec(text) for text in classifiers]
    plan = EvalPlan(
        request,
        planned,
        tuple(catalog.resolve("classifier", spec) for spec in dict.fromkeys(taking_part)),
        # a classifier under test is no judge of itself
        tuple(catalog.resolve("classifier", s) for s in map(parse_spec, judges) if s not in taking_part),
        data,
    )
    named = [*plan.classifiers, *plan.judges, *(p.resolved for p in planned), *([data] if data else [])]
    for resolved in named:
        if resolved.offer.check is not None:
            resolved.offer.check(resolved.options, context)
    return plan


def generator_key(resolved: Resolved) -> str:
    """A generator's spec without what the core added to it."""
    own = [(k, v) for k, v in resolved.spec.options if k not in (*SEARCH_KEYS, *SITE_KEYS)]
    return str(Spec(resolved.entry.name, None, tuple(own)))


def _plan_one(catalog: Catalog, context: BuildContext, text: str) -> list[PlannedPerturbation]:
    spec = parse_spec(text)
    offer = catalog.find("perturbation", spec.name).offer
    if isinstance(offer, GeneratorOffer):
        return _plan_sites(catalog, context, spec)
    assert isinstance(offer, PerturbationOffer)
    extra = SEARCH_KEYS if offer.searched else ()
    planned = []
    own = {key: value for key, value in spec.options if key not in extra}
    for target in _expand(spec.target, offer.sweep(read_options(offer.options, own, text))):
        one = spec if target is None else spec.with_target(target)
        resolved = catalog.resolve("perturbation", one, extra)
        search = _read_extra(SearchOptions, one, SEARCH_KEYS) if offer.searched else None
        if search:
            search.check(text)
        planned.append(PlannedPerturbation(str(one), resolved, search))
    return planned


def _plan_sites(catalog: Catalog, context: BuildContext, spec: Spec) -> list[PlannedPerturbation]:
    search = _read_extra(SearchOptions, spec, SEARCH_KEYS)
    search.check(str(spec))
    samples = _read_extra(SiteOptions, spec, SITE_KEYS).samples
    resolved = catalog.resolve("perturbation", spec, (*SEARCH_KEYS, *SITE_KEYS))
    sites = resolved.offer.sites(resolved.options, context)
    planned = []
    for target in _expand(spec.target or "all", [site.name for site in sites]):
        one = spec.with_target(str(target))
        chosen = choose_sites(sites, str(target), str(spec))
        at = dataclasses.replace(resolved, spec=one)
        planned.append(PlannedPerturbation(str(one), at, search, tuple(chosen), samples))
    return planned


def _expand(target: str | None, known: Sequence[str]) -> list[str | None]:
    """`all` and wildcards to the names they mean, coarse to fine; anything else stays as it is."""
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


def _read_extra(cls: type, spec: Spec, keys: Sequence[str]) -> Any:
    return read_options(cls, {k: v for k, v in spec.options if k in keys}, str(spec))


def _plan_data(catalog: Catalog, request: Request, planned: Sequence[PlannedPerturbation]) -> Resolved | None:
    if request.data is not None:
        spec = parse_spec(request.data)
        kind = "generator" if spec.name in catalog.of_kind("generator") else "dataset"
        if all(p.sites for p in planned):
            raise OptionError("--data is for changes to images; the sites of a generator draw their own")
        return catalog.resolve(kind, spec)
    if all(p.sites for p in planned):
        return None
    own = next((p.generator for p in planned if p.generator), DEFAULT_GENERATOR)
    return catalog.resolve("generator", parse_spec(own))


def _generator_weights(
    catalog: Catalog, planned: Sequence[PlannedPerturbation], data: Resolved | None
) -> Weights | None:
    """The shipped weights of the first generator, whose classifiers and judges are the defaults."""
    candidates = [p.resolved for p in planned if p.sites] + ([data] if data else [])
    for resolved in candidates:
        if isinstance(resolved.offer, GeneratorOffer):
            return catalog.weights.get(resolved.offer.weights(resolved.options))
    return None


def _check_numbers(request: Request) -> None:
    for name, value, low in (("count", request.count, 1), ("batch", request.batch, 1), ("keep", request.keep, 0)):
        if value < low:
            raise OptionError(f"--{name} {value} is too small; it must be at least {low}")


def _unique(planned: Sequence[PlannedPerturbation]) -> tuple[PlannedPerturbation, ...]:
    return tuple({p.key: p for p in planned}.values())


def _told(resolved: Resolved) -> dict[str, Any]:
    return {
        "spec": str(resolved.spec),
        "plugin": resolved.entry.plugin,
        "distribution": f"{resolved.entry.distribution} {resolved.entry.version}".strip(),
        "options": option_values(resolved.options),
    }
