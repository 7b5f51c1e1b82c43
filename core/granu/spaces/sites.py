"""Perturbations at a generator's sites: the space of edits there (Dunn et al. 2020, section 3).

A generator gives one perturbation per site, and one for each set of sites that a person joins by a plus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from granu.errors import OptionError
from granu.images.ops import clamp_for_descent
from granu.spaces.bands import band_factors
from granu.spaces.base import PixelSpace, Space
from granu.spaces.linf import LInfNorm
from granu.spaces.site_options import SiteOptions
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
        unit: str = "sigma (RMS)",
    ) -> None:
        sizes = [deviation[site.name][0].numel() for site in sites]
        super().__init__(classifier, clean, sum(sizes))
        self.tail, self.sites, self.sizes = tail, tuple(sites), sizes
        self.deviation = deviation  # site -> (B, *site.shape)
        self.residual = residual  # (B, C, H, W), added to what the generator makes
        self.unit = unit

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


class SiteCube(LInfNorm, SiteSpace):
    """The same edits, whose size is the largest of them: no neuron moves by more standard deviations than the size."""

    def draw(self, budget: Tensor, noise: Streams) -> Tensor:
        """A random corner of the cube, since steps along signs end in corners: as large in every norm."""
        return torch.where(noise.uniform(self.dimension) < 0.5, -1.0, 1.0) * budget[:, None]

    def patch(self, share: float, noise: Streams) -> Tensor:
        return super().patch(share, noise).sign()


SPACES: Mapping[str, type[SiteSpace]] = {"rms": SiteSpace, "linf": SiteCube}
NAMES = {"rms": "RMS", "linf": "L-infinity"}
PIXEL_NORMS = {"rms": "l2", "linf": "linf"}


class SitePerturbation:
    """Perturbation of a generator at one or more of its sites, measured as the options say.

    With `residual`, what the generator's own image lacks of the batch's is added to all images of the space, so that
    a zero edit gives the batch's images. With `bands` one standard deviation of a site counts as the part of it that
    is left after division by the site's number.
    """

    def __init__(
        self,
        generator: Generator,
        sites: Sequence[Site],
        statistics: StatisticsCache,
        options: SiteOptions | None = None,
    ) -> None:
        self.generator, self.sites, self.statistics = generator, tuple(sites), statistics
        self.options = options or SiteOptions()
        self.unit = site_unit(sites, self.options)
        side = generator.sites()[-1].shape[-1]
        self.factors = band_factors(sites, self.options.bands, side, "+".join(site.name for site in sites))

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        """Open the space of edits for a batch. The generator up to the first site runs once, here."""
        if self.sites[0].scale == "pixel":
            return PixelSpace(classifier, batch.images, PIXEL_NORMS[self.options.norm])
        assert batch.latent is not None, "edits at a generator's sites need images that it drew or encoded"
        with torch.no_grad():
            tail = self.generator.tail(batch.latent, [site.name for site in self.sites])
            residual = batch.images - tail({}) if self.options.residual else None
        space = SPACES[self.options.norm]
        return space(
            classifier, batch.images, tail, self.sites, self._deviation(batch.latent), residual, unit=self.unit
        )

    def _deviation(self, latent: Latent) -> dict[str, Tensor]:
        """The deviation of each neuron by site, (B, *site.shape), times the number of its band."""
        per_image = [self.statistics.of_class(label) for label in latent.labels.tolist()]
        for site in self.sites:
            if any(site.name in statistics.constant for statistics in per_image):
                raise OptionError(
                    f"the site '{site.name}' is the same in all images of this generator, so a change there has no "
                    "unit; take another site, or options with which it varies"
                )
        return {
            site.name: self.factors[site.name] * torch.stack([s.deviation[site.name] for s in per_image])
            for site in self.sites
        }


def site_unit(sites: Sequence[Site], options: SiteOptions) -> str:
    """Return the unit of sizes at these sites, as reports print it."""
    if sites[0].scale == "pixel":
        return "pixel L2" if options.norm == "rms" else "pixel L-infinity"
    return f"sigma ({NAMES[options.norm]}{f', bands {options.bands}' if options.bands else ''})"
