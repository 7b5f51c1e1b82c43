"""The perturbation `prime`: spaces of the primitives' coefficients, measured in severities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from granu import Batch, Classifier, Criterion, DataError, Proposal, Space, Streams, clamp_for_descent
from granu_prime import LARGEST, ChangeOptions
from granu_prime.sines import sine_series
from granu_prime.spatial import SMALLEST, deformed, temperatures, variances
from granu_prime.spectral import filtered, identity_kernel

UNIT = "severity"
SIGMA = 4.0  # standard deviation of a filter's entries at the largest severity, as in training
VARIANCE = 1.0  # of a colour map's coefficients together; cut times temperature in both published presets


class PrimeChange:
    """Changes by one primitive; a search finds its coefficients."""

    unit = UNIT

    def __init__(self, options: ChangeOptions) -> None:
        self.options = options

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        """The space of the primitive's coefficients at this image size."""
        if self.options.primitive == "spectral":
            return SpectralSpace(classifier, batch.images, self.options.kernel)
        if self.options.primitive == "colour":
            return ColourSpace(classifier, batch.images, self.options.colour_cut)
        return SpatialSpace(classifier, batch.images, self.options.warp_cut)


class RandomChange:
    """One random change of each image by one primitive, at fixed severities, without a search.

    The severities scale the same random coefficients.
    """

    unit = UNIT

    def __init__(self, change: PrimeChange, severities: Sequence[float]) -> None:
        self.change, self.severities = change, tuple(severities)

    def perturb(self, classifier: Classifier, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        """The changed images at every severity; the proposal's own evidence is that at the largest."""
        space = self.change.open(classifier, batch, noise)
        coefficients = space.draw(torch.ones(len(batch.images), device=batch.images.device), noise)
        with torch.no_grad():
            levels = {severity: space.evidence(severity * coefficients) for severity in self.severities}
        largest = torch.full_like(batch.labels, max(levels), dtype=torch.float32)
        none = torch.zeros_like(batch.labels)
        notes = (None,) * len(batch.images)
        return Proposal(levels[max(levels)], largest, largest, forward=none, backward=none, notes=notes, levels=levels)


class SeveritySpace(Space):
    """A change is a primitive's coefficients, each in fifths of its largest standard deviation in training.

    Its size, the root mean square, is then the severity: a random change of size 5 is one of the strongest that
    training draws, and all primitives are measured alike.
    """

    unit = UNIT
    largest = LARGEST


class SpectralSpace(SeveritySpace):
    """Entries of one filter per image, (B, k^2), added to the identity's."""

    def __init__(self, classifier: Classifier, clean: Tensor, side: int) -> None:
        super().__init__(classifier, clean, side**2)
        self.identity = identity_kernel(side).to(clean)

    def images(self, change: Tensor) -> Tensor:
        kernels = self.identity + (SIGMA / LARGEST) * change.view(-1, *self.identity.shape)
        return clamp_for_descent(filtered(self.clean, kernels))


class ColourSpace(SeveritySpace):
    """Coefficients of the sines of each channel's colour map, (B, C * cut).

    Their variances together are `VARIANCE` at the largest severity, whatever the cut.
    """

    def __init__(self, classifier: Classifier, clean: Tensor, cut: int) -> None:
        super().__init__(classifier, clean, clean.shape[1] * cut)
        self.cut = cut

    def images(self, change: Tensor) -> Tensor:
        B, C = self.clean.shape[:2]
        coefficients = (math.sqrt(VARIANCE / self.cut) / LARGEST) * change.view(B * C, self.cut)
        added = sine_series(self.clean.reshape(B * C, -1), coefficients)
        return clamp_for_descent(self.clean + added.view_as(self.clean))


class SpatialSpace(SeveritySpace):
    """Amplitudes of the sines of a deformation that the cut admits, (B, 2 M), for the displacement along x and y.

    At the largest severity the temperature is the highest at which an image is not folded over itself.
    """

    def __init__(self, classifier: Classifier, clean: Tensor, cut: int) -> None:
        size = (clean.shape[-2], clean.shape[-1])
        if min(size) < SMALLEST:
            raise DataError(f"images of {size[0]}x{size[1]} pixels cannot be deformed; at least 3x3 are needed")
        cuts = torch.tensor([float(cut)], device=clean.device)
        deviations = (temperatures(cuts, min(size))[1][:, None, None] * variances(size, cuts)).sqrt()[0]
        self.admitted = deviations.flatten().nonzero().squeeze(1)  # (M,)
        self.deviations = deviations  # (H - 2, W - 2)
        super().__init__(classifier, clean, 2 * len(self.admitted))

    def images(self, change: Tensor) -> Tensor:
        return clamp_for_descent(deformed(self.clean, self._amplitudes(change)))

    def _amplitudes(self, change: Tensor) -> Tensor:
        """(B, 2, H - 2, W - 2), zero for sines that the cut excludes."""
        everything = torch.zeros(len(change), 2, self.deviations.numel(), device=change.device)
        coefficients = (change / LARGEST).view(len(change), 2, -1)
        placed = everything.index_copy(2, self.admitted, coefficients)
        return placed.view(-1, 2, *self.deviations.shape) * self.deviations
