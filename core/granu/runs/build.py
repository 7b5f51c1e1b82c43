"""Building what a plan names: classifiers, judges, generators with their statistics, perturbations; each once."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from granu.plugins.built import as_drawing, as_encoding, as_generator
from granu.plugins.catalog import Resolved
from granu.plugins.context import BuildContext
from granu.runs.encoded_samples import EncodedSamples
from granu.runs.encodings import Encoder
from granu.runs.plan import EvalPlan, PlannedPerturbation, PlannedSource
from granu.runs.sources import DatasetSource, GeneratorSource, Source, match_generator
from granu.runs.statistics import SharedStatistics
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search
from granu.spaces.samples import DrawnSamples, Samples
from granu.spaces.site_statistics import StatisticsCache
from granu.spaces.sites import SitePerturbation
from granu.types import Classifier, DrawingGenerator, Generator, Perturbation


class Builder:
    """Builds the things of a plan, each when it is first asked for."""

    def __init__(self, plan: EvalPlan, context: BuildContext) -> None:
        self.plan, self.context = plan, context
        self._classifiers: dict[str, Classifier] = {}
        self._generators: dict[str, Generator] = {}
        self._encoders: dict[tuple[str, str], Encoder] = {}
        self._statistics = SharedStatistics(plan.perturbations, self._samples, context.cache)
        self._perturbations: dict[str, Perturbation] = {}
        self._sources: dict[str, Source] = {}
        self._weights: dict[str, dict[str, str]] = {}

    def weights(self, resolved: Resolved) -> dict[str, str]:
        """The weights that a built thing loaded: name -> sha256."""
        return self._weights.get(str(resolved.spec), {})

    def _make(self, resolved: Resolved) -> Any:
        before, self.context.used_weights = self.context.used_weights, {}
        try:
            # a network with random weights is the same in every process of a run
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(self.plan.request.seed)
                return self.context.make(resolved)
        finally:
            self._weights[str(resolved.spec)] = self.context.used_weights
            self.context.used_weights = {**before, **self.context.used_weights}

    def classifier(self, resolved: Resolved) -> Classifier:
        """A classifier, judge or guide, in evaluation mode on the run's device."""
        key = str(resolved.spec)
        if key not in self._classifiers:
            built = self._make(resolved)
            if isinstance(built, torch.nn.Module):
                # gradients are needed for images alone
                built = built.to(self.context.device).eval().requires_grad_(False)
            self._classifiers[key] = built
        return self._classifiers[key]

    def generator(self, source: PlannedSource) -> Generator:
        """A generator that draws images, or whose sites are edited."""
        if source.key not in self._generators:
            self._generators[source.key] = as_generator(self._make(source.resolved), source.key)
        return self._generators[source.key]

    def encoder(self, planned: PlannedPerturbation) -> Encoder:
        """The encoder of a perturbation's images. ClassifierError where the generator lacks their classes."""
        assert planned.generator is not None
        key = (planned.generator.key, planned.source.key)
        if key not in self._encoders:
            generator = as_encoding(self.generator(planned.generator), planned.generator.key)
            numbers = match_generator(self.source(planned.source), generator, planned.source.key, planned.generator.key)
            self._encoders[key] = Encoder(generator, numbers, self.context.cache, self.context.device)
        return self._encoders[key]

    def perturbation(self, planned: PlannedPerturbation) -> Perturbation:
        """A perturbation, with the planned search where it only says what may change."""
        if planned.key not in self._perturbations:
            thing: Any
            if planned.generator is not None:
                generator = self.generator(planned.generator)
                thing = SitePerturbation(generator, planned.sites, self.statistics(planned), planned.site_options)
            else:
                thing = self._make(planned.resolved)
            if planned.search is not None:
                low_precision = self.plan.request.precision == "bfloat16"
                thing = SearchedPerturbation(
                    thing, make_search(planned.search.name, planned.search.options), low_precision
                )
            self._perturbations[planned.key] = thing
        return self._perturbations[planned.key]

    def statistics(self, planned: PlannedPerturbation) -> StatisticsCache:
        """The standard deviations at all sites of a generator that the plan edits."""
        return self._statistics.of(planned)

    def _samples(self, planned: PlannedPerturbation) -> Samples:
        """Drawn images where the generator can draw, otherwise encoded ones of the perturbation's source."""
        assert planned.generator is not None
        count, device = planned.site_options.samples, self.context.device
        if planned.generator.draws:
            generator = as_drawing(self.generator(planned.generator), planned.generator.key)
            return DrawnSamples(generator, count, device)
        encoder, batch = self.encoder(planned), self.plan.request.batch
        return EncodedSamples(encoder, self.source(planned.source), planned.source.key, count, batch)

    def source(self, planned: PlannedSource) -> Source:
        """The images of a perturbation."""
        if planned.key not in self._sources:
            self._sources[planned.key] = self._open_source(planned)
        return self._sources[planned.key]

    def _open_source(self, planned: PlannedSource) -> Source:
        seed, device = self.plan.request.seed, self.context.device
        if planned.kind == "generator":
            generator = as_drawing(self.generator(planned), planned.key)
            return GeneratorSource(generator, image_prefix(planned, generator), seed, device)
        return DatasetSource(self._make(planned.resolved), seed, device)


def image_prefix(source: PlannedSource, generator: DrawingGenerator) -> str:
    """The beginning of the ids of a generator's images: its name, and a short hash of it where options were given.

    The path of its weights takes no part, so that another machine draws the same images.
    """
    spec = source.resolved.spec
    if not spec.options:
        return spec.name
    return f"{spec.name}@{hashlib.sha256(generator.fingerprint.encode()).hexdigest()[:8]}"
