"""The sentences below a run's tables: what failed, and what needs attention before a number is trusted."""

from __future__ import annotations

from collections.abc import Sequence

from granu.report.arms import of_arms
from granu.report.encodings import of_encodings
from granu.report.health import check
from granu.report.rows import Row
from granu.runs.records import RunRecord
from granu.runs.run import Run


def failures(record: RunRecord) -> list[str]:
    """A sentence per failure: `stylegan:z on zoo:a: out of memory (12 images)`."""
    return [
        f"{f.perturbation} on {f.classifier}: {f.reason} ({f.images} image{'' if f.images == 1 else 's'})"
        for f in record.failures
    ]


def notes(run: Run, rows: Sequence[Row]) -> list[str]:
    """A sentence per health sign, and what to know of encodings, generators and perturbations."""
    return [*map(str, check(rows)), *facts(run)]


def facts(run: Run) -> list[str]:
    """The notes without health signs: on guides, encodings, unchanged images, generators and perturbations."""
    return [
        *of_guides(run.record),
        *of_encodings(run),
        *of_arms(run),
        *of_generators(run.record),
        *of_perturbations(run.record),
    ]


def of_guides(record: RunRecord) -> list[str]:
    """A sentence for each set of guides, since what they lose is not counted as found."""
    sets = dict.fromkeys(one.guides for one in record.perturbations.values() if one.guides)
    return [
        "preserve=yes: found means that the classifier is fooled and the label is kept by the guides "
        + ", ".join(guides)
        + "; sizes are upper bounds"
        for guides in sets
    ]


def of_perturbations(record: RunRecord) -> list[str]:
    """The notes of plugins on their perturbations, once each."""
    return list(dict.fromkeys(f"{p.name}: {p.note}" for p in record.perturbations.values() if p.note))


def of_generators(record: RunRecord) -> list[str]:
    """Notes on each generator: near-constant neurons, sites that vary across classes only, no labels."""
    return [*clamped(record), *across_classes(record), *unlabelled(record)]


def across_classes(record: RunRecord) -> list[str]:
    """Sites that are constant within a class, a sentence per generator: their unit is another one."""
    by_generator: dict[str, list[str]] = {}
    for perturbation in record.perturbations.values():
        names = [site.name for site in perturbation.sites if site.across]
        known = by_generator.setdefault(perturbation.edited, [])
        known += [name for name in names if name not in known]
    return [
        f"{generator}: constant within a class, so one sigma is the deviation across classes: {', '.join(names)}"
        for generator, names in by_generator.items()
        if names
    ]


def unlabelled(record: RunRecord) -> list[str]:
    """Generators without classes, a sentence each."""
    sources = {p.source.spec: p.source for p in record.perturbations.values()}
    return [
        f"{spec}: the generator has no classes, so the label of an image is the classifier's own prediction"
        for spec, source in sources.items()
        if source.kind == "generator" and not source.classes
    ]


def clamped(record: RunRecord) -> list[str]:
    """Sites whose near-constant neurons had their standard deviation raised to the minimum, a sentence per generator.

    Several perturbations may measure a site, with other samples; the largest number counts.
    """
    by_generator: dict[str, dict[str, tuple[int, int]]] = {}
    for perturbation in record.perturbations.values():
        for site in perturbation.sites:
            if site.clamped and site.neurons:
                sites = by_generator.setdefault(perturbation.edited, {})
                sites[site.name] = max(sites.get(site.name, (0, 0)), (site.clamped, site.neurons))
    return [
        f"{generator}: near-constant neurons clamped to the minimum std: "
        + ", ".join(f"{name} ({number:,} of {neurons:,})" for name, (number, neurons) in sites.items())
        for generator, sites in by_generator.items()
    ]
