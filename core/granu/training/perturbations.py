"""Perturbations for training: opened from their specs, with the size and the steps that an attack spends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu.errors import OptionError
from granu.plugins.built import as_drawing, as_encoding
from granu.runs.plan import PlannedSource, PlannedSpace
from granu.runs.planning import plan_spaces
from granu.runs.statistics import SharedStatistics
from granu.spaces.samples import DrawnSamples
from granu.spaces.site_statistics import StatisticsCache
from granu.spaces.sites import SitePerturbation
from granu.training.encoded import EncodedImages
from granu.training.images import GeneratedImages
from granu.types import SpaceFactory

if TYPE_CHECKING:
    from granu.plugins.context import BuildContext


@dataclass(frozen=True)
class OpenPerturbation:
    """A perturbation that a defense trains against."""

    name: str  # its spec with options sorted
    spaces: SpaceFactory
    budget: float  # the size of a change, in the unit of the spaces
    steps: int  # of gradient descent
    images: GeneratedImages | None = None  # a generator's, where its sites are changed; else those of the step
    encoded: EncodedImages | None = None  # the step's as that generator encodes them; None unless it was asked for


def open_perturbations(
    spec: str, context: BuildContext, defaults: Mapping[str, str] | None = None, *, encode: bool = False
) -> list[OpenPerturbation]:
    """Open what a spec, or several joined by `|`, names: one perturbation for each target.

    `defaults` are options that apply where the spec does not give them, as for `granu.plan_spaces`, which finds
    the same mistakes without torch. Sites of one generator share it and one pass over its clean samples. With `encode`
    generators encode images too.
    """
    planned = plan_spaces(spec, context, defaults)
    generators = _Generators(planned, context)
    return [_open(one, generators, context, encode) for one in planned]


def _open(planned: PlannedSpace, generators: _Generators, context: BuildContext, encode: bool) -> OpenPerturbation:
    options, budget = planned.search.options, planned.search.budget
    assert budget is not None  # plan_spaces takes no others
    if planned.generator is not None:
        images = generators.images(planned.generator)
        statistics = generators.statistics(planned)
        spaces: SpaceFactory = SitePerturbation(images.generator, planned.sites, statistics, planned.site_options)
        encoded = _encoded(images, planned, context) if encode else None
        return OpenPerturbation(planned.key, spaces, budget, options.steps, images, encoded)
    spaces = context.make(planned.resolved)
    if not hasattr(spaces, "open"):
        raise OptionError(f"`{planned.key}` opens no space; choose another perturbation")
    return OpenPerturbation(planned.key, spaces, budget, options.steps)


def _encoded(images: GeneratedImages, planned: PlannedSpace, context: BuildContext) -> EncodedImages:
    generator, options = as_encoding(images.generator, images.name), planned.site_options
    return EncodedImages(
        generator, images.name, context.cache, context.device, psnr=options.psnr, residual=options.residual
    )


class _Generators:
    """The generators of several perturbations and the statistics of all their sites, each made once."""

    def __init__(self, planned: Sequence[PlannedSpace], context: BuildContext) -> None:
        self.context = context
        self._images: dict[str, GeneratedImages] = {}
        self._statistics = SharedStatistics(planned, self._samples, context.cache)

    def images(self, source: PlannedSource) -> GeneratedImages:
        if source.key not in self._images:
            generator = as_drawing(self.context.make(source.resolved), source.key)
            self._images[source.key] = GeneratedImages(generator, source.key)
        return self._images[source.key]

    def statistics(self, planned: PlannedSpace) -> StatisticsCache:
        return self._statistics.of(planned)

    def _samples(self, planned: PlannedSpace) -> DrawnSamples:
        assert planned.generator is not None
        generator = self.images(planned.generator).generator
        return DrawnSamples(generator, planned.site_options.samples, self.context.device)
