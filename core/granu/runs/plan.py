"""Plans: all that a run will do, as frozen values that print as JSON; made by `granu.runs.planning`, without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from granu.plugins.catalog import Resolved
from granu.plugins.offers import GeneratorOffer
from granu.plugins.options import option_values
from granu.plugins.spec import Spec
from granu.runs.gallery import DEFAULT_KEEP
from granu.spaces.site_options import SiteOptions
from granu.types import Site


@dataclass(frozen=True)
class Request:
    """A request: specs as typed, or things given from Python that are resolved already."""

    perturbations: tuple[str, ...]
    classifiers: tuple[str | Resolved, ...] = ()
    judges: tuple[str | Resolved, ...] | None = None  # None: those that come with the generator's weights
    data: str | Resolved | None = None
    count: int = 50
    seed: int = 0
    batch: int = 50
    keep: int = DEFAULT_KEEP
    device: str = "cpu"
    precision: str = "float32"
    guides: tuple[str | Resolved, ...] = ()  # that keep the label in searches


@dataclass(frozen=True)
class PlannedSearch:
    """A search by name, with its options."""

    name: str
    options: Any

    @property
    def budget(self) -> float | None:
        """The size that the search spends; None for a search of the smallest size."""
        return getattr(self.options, "budget", None)


@dataclass(frozen=True)
class PlannedSource:
    """A generator or a dataset, as the source of a perturbation's images; or a generator whose sites are edited."""

    kind: str  # "generator" or "dataset"
    resolved: Resolved  # without target, and without the options that the core added

    @property
    def key(self) -> str:
        """The source's own spec; perturbations that share it share its images."""
        return str(self.resolved.spec)

    @property
    def draws(self) -> bool:
        """True for a generator that draws images."""
        offer = self.resolved.offer
        return isinstance(offer, GeneratorOffer) and offer.can_draw(self.resolved.options)

    @property
    def encodes(self) -> bool:
        """True for a generator that encodes given images."""
        offer = self.resolved.offer
        return isinstance(offer, GeneratorOffer) and offer.can_encode(self.resolved.options)

    def is_same(self, other: PlannedSource) -> bool:
        """True if two specs mean the same thing with the same options, however they were typed."""
        one, two = self.resolved, other.resolved
        return (one.entry.name, self.kind, one.options) == (two.entry.name, other.kind, two.options)


@dataclass(frozen=True)
class PlannedPerturbation:
    """A perturbation at one target: how it is searched, on which images, and who guides and judges."""

    key: str  # the spec with options sorted; a result's name
    resolved: Resolved
    search: PlannedSearch | None  # None: the perturbation searches by itself
    source: PlannedSource
    judges: tuple[Resolved, ...] = ()
    guides: tuple[Resolved, ...] = ()
    sites: tuple[Site, ...] = ()  # of a generator, where the core derived the perturbation
    generator: PlannedSource | None = None  # whose sites are edited
    site_options: SiteOptions = field(default_factory=SiteOptions)

    @property
    def is_encoded(self) -> bool:
        """True if the generator encodes the images of another source, and does not draw its own."""
        return self.generator is not None and self.generator is not self.source

    @property
    def statistics_key(self) -> tuple[str, ...]:
        """The key of the images that measure the deviations at the sites: equal where perturbations share them."""
        assert self.generator is not None
        images = () if self.generator.draws else (self.source.key,)
        return (self.generator.key, str(self.site_options.samples), *images)

    @property
    def scope(self) -> str:
        """The name of its random streams: the key without the path of weights, which differs between machines."""
        spec = self.resolved.spec
        return str(Spec(spec.name, spec.target, tuple((k, v) for k, v in spec.options if k != "weights")))

    def judges_of(self, classifier: Resolved) -> tuple[Resolved, ...]:
        """Judges of this perturbation's changes against a classifier: neither itself nor one that took part."""
        taking_part = {classifier.spec, *(guide.spec for guide in self.guides)}
        return tuple(judge for judge in self.judges if judge.spec not in taking_part)

    def guides_of(self, classifier: Resolved) -> tuple[Resolved, ...]:
        """Guides of the search against a classifier, which is no guide against itself."""
        return tuple(guide for guide in self.guides if guide.spec != classifier.spec)


@dataclass(frozen=True)
class PlannedSpace:
    """A perturbation without the images of an evaluation: for training, which has images of its own."""

    key: str  # the spec with options sorted
    resolved: Resolved
    search: PlannedSearch  # one that spends a budget
    generator: PlannedSource | None  # that draws the images, at its own sites
    sites: tuple[Site, ...] = ()
    site_options: SiteOptions = field(default_factory=SiteOptions)

    @property
    def statistics_key(self) -> tuple[str, ...]:
        """As for a PlannedPerturbation."""
        assert self.generator is not None
        return (self.generator.key, str(self.site_options.samples))


@dataclass(frozen=True)
class EvalPlan:
    """A matrix of classifiers and perturbations over `count` images."""

    request: Request
    perturbations: tuple[PlannedPerturbation, ...]
    classifiers: tuple[Resolved, ...]

    @property
    def judges(self) -> tuple[Resolved, ...]:
        """All judges, each once."""
        return tuple({str(judge.spec): judge for p in self.perturbations for judge in p.judges}.values())

    @property
    def guides(self) -> tuple[Resolved, ...]:
        """All guides, each once."""
        return tuple({str(guide.spec): guide for p in self.perturbations for guide in p.guides}.values())

    @property
    def opened(self) -> tuple[Resolved, ...]:
        """Every classifier under test, judge and guide; one of several kinds more than once."""
        return (*self.classifiers, *self.judges, *self.guides)

    def perturbation(self, key: str) -> PlannedPerturbation:
        """The perturbation of that key."""
        return next(p for p in self.perturbations if p.key == key)

    def classifier(self, name: str) -> Resolved:
        """The classifier, judge or guide of that name."""
        return next(c for c in self.opened if str(c.spec) == name)

    def as_json(self) -> dict[str, Any]:
        """For `--dry-run --json`."""
        return {
            "count": self.request.count,
            "seed": self.request.seed,
            "batch": self.request.batch,
            "keep": self.request.keep,
            "device": self.request.device,
            "precision": self.request.precision,
            "classifiers": [_as_json(c) for c in self.classifiers],
            "perturbations": [
                {
                    **_as_json(p.resolved),
                    "spec": p.key,
                    "images": _as_json(p.source.resolved),
                    "generator": _as_json(p.generator.resolved) if p.generator else None,
                    "encoded": p.is_encoded,
                    "judges": [str(judge.spec) for judge in p.judges],
                    "guides": [str(guide.spec) for guide in p.guides],
                    "sites": [{"name": s.name, "shape": list(s.shape), "scale": s.scale} for s in p.sites],
                    "search": {"name": p.search.name, **option_values(p.search.options)} if p.search else None,
                    "site_options": option_values(p.site_options) if p.generator else None,
                }
                for p in self.perturbations
            ],
        }


def _as_json(resolved: Resolved) -> dict[str, Any]:
    return {
        "spec": str(resolved.spec),
        "plugin": resolved.entry.plugin,
        "distribution": resolved.entry.where,
        "options": option_values(resolved.options),
    }
