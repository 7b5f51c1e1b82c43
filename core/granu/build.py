"""From a plan to things: classifiers, judges, generators with their statistics, perturbations; each built once."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from granu.catalog import Resolved
from granu.errors import PluginTrouble
from granu.plan import EvalPlan, PlannedPerturbation
from granu.search.searched import Searched
from granu.sites import SitePerturbation, StatisticsCache
from granu.sources import DatasetSource, GeneratorSource, Source
from granu.spec import parse_spec
from granu.types import Classifier, Generator, Perturbation, Site
from granu.workshop import Workshop


class Builder:
    """Builds what a plan names when it is first asked for."""

    def __init__(self, plan: EvalPlan, workshop: Workshop) -> None:
        self.plan, self.workshop = plan, workshop
        self._classifiers: dict[str, Classifier] = {}
        self._generators: dict[str, Generator] = {}
        self._statistics: dict[tuple[str, int], StatisticsCache] = {}
        self._perturbations: dict[str, Perturbation] = {}
        self._sources: dict[str, Source] = {}

    def classifier(self, resolved: Resolved) -> Classifier:
        """A classifier or judge, in evaluation mode on the run's device."""
        key = str(resolved.spec)
        if key not in self._classifiers:
            built = self.workshop.make(resolved)
            if isinstance(built, torch.nn.Module):
                built = built.to(self.workshop.device).eval()
            self._classifiers[key] = built
        return self._classifiers[key]

    def generator(self, key: str) -> Generator:
        """A generator by its own spec."""
        if key not in self._generators:
            built = self.workshop.build("generator", key)
            if not isinstance(built, Generator):
                raise PluginTrouble(f"`{key}` did not build a generator: sites, draw and tail are needed")
            self._generators[key] = built
        return self._generators[key]

    def perturbation(self, planned: PlannedPerturbation) -> Perturbation:
        """A perturbation, with the core's search around it where it only says what may change."""
        if planned.key not in self._perturbations:
            thing: Any
            if planned.generator is None:
                thing = self.workshop.make(planned.resolved)
            else:
                thing = SitePerturbation(self.generator(planned.generator), planned.sites, self.statistics(planned))
            low_precision = self.plan.request.precision == "bfloat16"
            searched = Searched(thing, planned.search, low_precision) if planned.search else thing
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
                self.workshop.cache,
                self.workshop.device,
            )
        return self._statistics[key]

    def statistics_in_use(self) -> dict[str, Any]:
        """What sizes were counted in, per generator and site, for the record."""
        return {generator: cache.summary() for (generator, _), cache in self._statistics.items()}

    def source(self, planned: PlannedPerturbation) -> tuple[str, Source]:
        """Where a perturbation's pictures come from, and that source's name."""
        data = self.plan.data
        assert planned.generator or data  # the plan finds one for every perturbation without pictures of its own
        key = planned.generator or str(data and data.spec)
        if key not in self._sources:
            self._sources[key] = self._open_source(key)
        return key, self._sources[key]

    def _open_source(self, key: str) -> Source:
        seed, device = self.plan.request.seed, self.workshop.device
        if parse_spec(key).name in self.workshop.catalog.of_kind("generator"):
            generator = self.generator(key)
            return GeneratorSource(generator, picture_prefix(key, generator), seed, device)
        return DatasetSource(self.workshop.build("dataset", key), seed, device)


def picture_prefix(key: str, generator: Generator) -> str:
    """What the ids of a generator's pictures begin with: its name, and what it is made of where that was chosen.

    Not the path of its weights, so that another machine draws the same pictures.
    """
    spec = parse_spec(key)
    if not spec.options:
        return spec.name
    return f"{spec.name}@{hashlib.sha256(generator.fingerprint.encode()).hexdigest()[:8]}"
