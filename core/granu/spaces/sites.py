"""Perturbations at a generator's sites: the space of edits there (Dunn et al. 2020, section 3).

A generator gives one perturbation per site, and one for each set of sites that a person joins by a plus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from granu.errors import OptionError
from granu.images.ops import clamp_for_descent
from granu.spaces.base import PixelSpace, Space
from granu.spaces.site_statistics import StatisticsCache
from granu.streams import Streams
from granu.types import Batch, Classifier, Generator, Latent, Site, Tail


class SiteSpace(Space):
    """Edits at one or more sites in units of each neuron's standard deviation; size is their root mean square."""

    def __init__(
        self,
        classifier: Classifier,
        clean: Tensor,
        tail: Tail,
        sites: Sequence[Site],
        deviation: dict[str, Tensor],
        residual: Tensor | None = None,
    ) -> None:
        sizes = [deviation[site.name][0].numel() for site in sites]
        super().__init__(classifier, clean, sum(sizes))
        self.tail, self.sites, self.sizes = tail, tuple(sites), sizes
        self.deviation = deviation  # site -> (B, *site.shape)
        self.residual = residual  # (B, C, H, W), added to what the generator makes
        self.unit = site_unit(sites)

    def images(self, change: Tensor) -> Tensor:
        parts = change.split(self.sizes, dim=1)
        edits = {
            site.name: part.reshape(len(change), *site.shape) * self.deviation[site.name]
            for site, part in zip(self.sites, parts, strict=True)
        }
        made = self.tail(edits)
        return clamp_for_descent(made if self.residual is None else made + self.residual)

    def select(self, index: Tensor) -> Self:
        chosen = super().select(index)
        chosen.tail = self.tail.select(index)
        chosen.deviation = {name: sigma[index] for name, sigma in self.deviation.items()}
        chosen.residual = None if self.residual is None else self.residual[index]
        return chosen


class SitePerturbation:
    """Perturbation of a generator at one or more of its sites.

    With `residual`, what the generator's own image lacks of the batch's is added to all images of the space, so that
    a zero edit gives the batch's images.
    """

    def __init__(
        self, generator: Generator, sites: Sequence[Site], statistics: StatisticsCache, residual: bool = False
    ) -> None:
        self.generator, self.sites, self.statistics, self.residual = generator, tuple(sites), statistics, residual
        self.unit = site_unit(sites)

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        """Open the space of edits for a batch. The generator up to the first site runs once, here."""
        if self.sites[0].scale == "pixel":
            return PixelSpace(classifier, batch.images, "l2")
        assert batch.latent is not None, "edits at a generator's sites need images that it drew or encoded"
        with torch.no_grad():
            tail = self.generator.tail(batch.latent, [site.name for site in self.sites])
            residual = batch.images - tail({}) if self.residual else None
        return SiteSpace(classifier, batch.images, tail, self.sites, self._deviation(batch.latent), residual)

    def _deviation(self, latent: Latent) -> dict[str, Tensor]:
        per_image = [self.statistics.of_class(label) for label in latent.labels.tolist()]
        for site in self.sites:
            if any(site.name in statistics.constant for statistics in per_image):
                raise OptionError(
                    f"the site '{site.name}' is the same in all images of this generator, so a change there has no "
                    "unit; take another site, or options with which it varies"
                )
        return {site.name: torch.stack([s.deviation[site.name] for s in per_image]) for site in self.sites}


def site_unit(sites: Sequence[Site]) -> str:
    """Return the unit of sizes at these sites, as reports print it."""
    return "pixel L2" if sites[0].scale == "pixel" else "sigma (RMS)"
