"""Preparation of a run: classifiers and images are opened and described before anything is measured."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from granu.errors import GranuError
from granu.plugins.catalog import Resolved
from granu.plugins.offers import PerturbationOffer
from granu.plugins.options import option_values
from granu.runs.build import Builder
from granu.runs.fingerprints import classifier_fingerprint
from granu.runs.plan import EvalPlan, PlannedPerturbation, PlannedSource
from granu.runs.problems import first_line
from granu.runs.records import ClassifierRecord, GeneratorRecord, PerturbationRecord, SiteRecord, SourceRecord
from granu.runs.sources import names_of
from granu.runs.work import Failure
from granu.spaces.site_options import ENCODING_KEYS, SIZE_KEYS, SiteOptions
from granu.types import Classifier

T = TypeVar("T")


class Preparation:
    """Opens every classifier and source of a plan; what cannot be opened fails the results that need it."""

    def __init__(self, plan: EvalPlan, builder: Builder) -> None:
        self.plan, self.builder = plan, builder
        self._failures: dict[str, Failure] = {}  # by the spec of a classifier or source
        sources = {p.source.key: p.source for p in plan.perturbations}
        self._sources = {key: self._try(key, partial(self._describe_source, one)) for key, one in sources.items()}
        self._generators = {
            _encoding_key(p): self._try(_encoding_key(p), partial(self._describe_generator, p))
            for p in plan.perturbations
            if p.is_encoded and self.opened(p.source)
        }
        classifiers: dict[str, Resolved] = {}
        for one in plan.opened:  # one of several kinds may have its label in one place only
            if one.label or str(one.spec) not in classifiers:
                classifiers[str(one.spec)] = one
        self._classifiers = {
            key: self._try(key, partial(self._describe_classifier, one)) for key, one in classifiers.items()
        }

    def opened(self, planned: PlannedSource) -> bool:
        """True if a source's images could be opened."""
        return self._sources[planned.key] is not None

    def failure(self, planned: PlannedPerturbation, classifier: Resolved) -> Failure | None:
        """The reason why a perturbation of a classifier cannot be measured; None where it can."""
        asked = (*planned.judges_of(classifier), *planned.guides_of(classifier))
        needed = [str(classifier.spec), planned.source.key, *(str(one.spec) for one in asked)]
        if planned.is_encoded:
            needed.append(_encoding_key(planned))
        return next((self._failures[key] for key in needed if key in self._failures), None)

    def classifier_records(self) -> Iterator[ClassifierRecord]:
        """Of every classifier, judge and guide that opened."""
        return (record for record in self._classifiers.values() if record is not None)

    def perturbation_records(self) -> Iterator[PerturbationRecord]:
        """Of every perturbation whose images, and the generator that encodes them, opened."""
        for planned in self.plan.perturbations:
            source = self._sources[planned.source.key]
            encoded = planned.is_encoded
            generator = self._generators.get(_encoding_key(planned)) if encoded else None
            if source is not None and (generator is not None or not encoded):
                yield self._describe(planned, source, generator)

    def _try(self, key: str, describe: Callable[[], T]) -> T | None:
        try:
            return describe()
        except GranuError as problem:
            self._failures[key] = Failure(str(problem))
        except Exception as problem:
            details = "".join(traceback.format_exception(problem))
            self._failures[key] = Failure(f"`{key}`: {type(problem).__name__}: {first_line(problem)}", details)
        return None

    def _describe_source(self, planned: PlannedSource) -> SourceRecord:
        source = self.builder.source(planned)
        fingerprint = self.builder.generator(planned).fingerprint if planned.kind == "generator" else None
        return SourceRecord(planned.key, planned.kind, fingerprint, tuple(source.classes))

    def _describe_generator(self, planned: PlannedPerturbation) -> GeneratorRecord:
        assert planned.generator is not None
        encoder = self.builder.encoder(planned)
        generator = encoder.generator
        return GeneratorRecord(
            planned.generator.key, generator.fingerprint, encoder.parameters, tuple(generator.classes)
        )

    def _describe_classifier(self, resolved: Resolved) -> ClassifierRecord:
        classifier = self.builder.classifier(resolved)
        return ClassifierRecord(
            name=str(resolved.spec),
            plugin=resolved.entry.plugin,
            distribution=resolved.entry.where,
            options=option_values(resolved.options),
            classes=self._class_names(classifier),
            fingerprint=classifier_fingerprint(classifier),
            weights=self.builder.weights(resolved),
            label=resolved.label,
        )

    def _class_names(self, classifier: Classifier) -> tuple[str, ...]:
        """Names of a classifier's outputs; of one without names, those of the first images with as many classes."""
        candidates = [names_of(classifier, source.classes) for source in self._sources.values() if source]
        named = [names for names in candidates if names != classifier.classes]
        return tuple(named[0] if named else classifier.classes)

    def _describe(
        self, planned: PlannedPerturbation, source: SourceRecord, generator: GeneratorRecord | None
    ) -> PerturbationRecord:
        resolved, search = planned.resolved, planned.search
        generators = [one for one in (planned.source, planned.generator) if one is not None and one.kind == "generator"]
        weights = {name: sha for one in generators for name, sha in self.builder.weights(one.resolved).items()}
        return PerturbationRecord(
            key=planned.key,
            name=resolved.entry.name,
            target=resolved.spec.target,
            given=dict(resolved.spec.options),
            plugin=resolved.entry.plugin,
            distribution=resolved.entry.where,
            options=_plain(option_values(resolved.options)),
            source=source,
            search=search.name if search else None,
            search_options=_plain(option_values(search.options)) if search else {},
            budget=search.budget if search else None,
            sites=tuple(SiteRecord(site.name, tuple(site.shape), site.scale) for site in planned.sites),
            site_options=_site_options(planned),
            generator=generator,
            judges=tuple(str(judge.spec) for judge in planned.judges),
            guides=tuple(str(guide.spec) for guide in planned.guides),
            weights=weights,
            note=resolved.offer.note if isinstance(resolved.offer, PerturbationOffer) else "",
            label=resolved.label,
        )


def _encoding_key(planned: PlannedPerturbation) -> str:
    """A name for a generator that encodes the images of a source."""
    assert planned.generator is not None
    return f"{planned.source.key} in {planned.generator.key}"


def _site_options(planned: PlannedPerturbation) -> dict[str, object]:
    """The options of the sites; those of encodings only where images are encoded.

    Those of sizes are left out at their defaults, as in the records of versions that did not have them.
    """
    if planned.generator is None:
        return {}
    options, usual = option_values(planned.site_options), option_values(SiteOptions())
    left_out = [] if planned.is_encoded else [*ENCODING_KEYS]
    left_out += [key for key in SIZE_KEYS if options[key] == usual[key]]
    return {key: value for key, value in options.items() if key not in left_out}


def _plain(options: dict[str, object]) -> dict[str, object]:
    """Options as JSON gives them back, so that a record compares equal after reading."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
