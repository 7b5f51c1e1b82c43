"""From a plan to things: classifiers, judges, generators with their statistics, perturbations; each built once."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from granu.plugins.catalog import Resolved
from granu.errors import PluginError
from granu.runs.plan import EvalPlan, PlannedPerturbation
from granu.search.perturbation import SearchedPerturbation
from granu.spaces.sites import SitePerturbation, StatisticsCache
from granu.runs.sources import DatasetSource, GeneratorSource, Source
from granu.plugins.spec import parse_spec
from granu.types import Classifier, Generator, Perturbation, Site
from granu.plugins.context import BuildContext


class Builder:
    """Builds what a plan names when it is first asked for."""

    def __init__(self, plan: EvalPlan, context: BuildContext) -> None:
        self.plan, self.context = plan, context
        self._classifiers: dict[str, Classifier] = {}
        self._generators: dict[str, Generator] = {}
        self._statistics: dict[tuple[str, int], StatisticsCache] = {}
        self._perturbations: dict[str, Perturbation] = {}
        self._sources: dict[str, Source] = {}

    def classifier(self, resolved: Resolved) -> Classifier:
        """A classifier or judge, in evaluation mode on the run's device."""
        key = str(resolved.spec)
        if key not in self._classifiers:
            built = self.context.make(resolved)
            if isinstance(built, torch.nn.Module):
                built = built.to(self.context.device).eval()
            self._classifiers[key] = built
        return self._classifiers[key]

    def generator(self, key: str) -> Generator:
        """A generator by its own spec."""
        if key not in self._generators:
            built = self.context.build("generator", key)
            if not isinstance(built, Generator):
                raise PluginError(f"`{key}` did not build a generator: sites, draw and tail are needed")
            self._generators[key] = built
        return self._generators[key]

    def perturbation(self, planned: PlannedPerturbation) -> Perturbation:
        """A perturbation, with the core's search around it where it only says what may change."""
        if planned.key not in self._perturbations:
            thing: Any
            if planned.generator is None:
                thing = self.context.make(planned.resolved)
            else:
                thing = SitePerturbation(self.generator(planned.generator), planned.sites, self.statistics(planned))
            low_precision = self.plan.request.precision == "bfloat16"
            searched = SearchedPerturbation(thing, planned.search, low_precision) if planned.search else thing
            self._perturbations[planned.key] = searched
        return self._perturbations[planned.key]

    def statistics(self, planned: PlannedPerturbation) -> StatisticsCache:
        """The deviations at all sites that the plan edits in this generator."""
        assert planned.generator is not None
        key = (planned.generator, planned.samples)
        if key not in self._statistics:
            wanted: dict[str, Site] = {}
            for other in self.plan.perturbations:
                if (other.generator, other.samples) == key:
                    wanted.update({site.name: site for site in other.sites})
            self._statistics[key] = StatisticsCache(
                self.generator(planned.generator),
                list(wanted.values()),
                planned.samples,
                self.context.cache,
                self.context.device,
            )
        return self._statistics[key]

    def statistics_in_use(self) -> dict[str, Any]:
        """What sizes were counted in, per generator and site, for the record."""
        return {generator: cache.summary() for (generator, _), cache in self._statistics.items()}

    def source(self, planned: PlannedPerturbation) -> tuple[str, Source]:
        """Where a perturbation's images come from, and that source's name."""
        data = self.plan.data
        assert planned.generator or data  # the plan finds one for every perturbation without images of its own
        key = planned.generator or str(data and data.spec)
        if key not in self._sources:
            self._sources[key] = self._open_source(key)
        return key, self._sources[key]

    def _open_source(self, key: str) -> Source:
        seed, device = self.plan.request.seed, self.context.device
        if parse_spec(key).name in self.context.catalog.of_kind("generator"):
            generator = self.generator(key)
            return GeneratorSource(generator, image_prefix(key, generator), seed, device)
        return DatasetSource(self.context.build("dataset", key), seed, device)


def image_prefix(key: str, generator: Generator) -> str:
    """What the ids of a generator's images begin with: its name, and what it is made of where that was chosen.

    Not the path of its weights, so that another machine draws the same images.
    """
    spec = parse_spec(key)
    if not spec.options:
        return spec.name
    return f"{spec.name}@{hashlib.sha256(generator.fingerprint.encode()).hexdigest()[:8]}"
