"""The perturbation `advbn`: a space of changes of each image's own feature statistics, for the core's searches."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from granu import Batch, Classifier, Space, Streams
from granu_advbn import PerturbationOptions
from granu_advbn.cut import Cut, find_cut
from granu_advbn.replay import Divisible
from granu_advbn.statistics import Multipliers

UNIT = "largest change of a multiplier"
TRIED = 4  # images of noise on which a classifier is cut


class FeatureStatistics:
    """Changes of mean and deviation of the features behind one module of the classifier."""

    unit = UNIT

    def __init__(self, options: PerturbationOptions) -> None:
        self.options = options
        self._last: tuple[Classifier, Cut] | None = None  # batches of the same classifier follow each other

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        """The space of the features of these images. ClassifierError if the classifier cannot be cut there."""
        if self._last is None or self._last[0] is not classifier:
            shape = (TRIED, *batch.images.shape[1:])
            trial = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(batch.images)
            self._last = classifier, find_cut(classifier, self.options.layer, trial, self.options.channels)
        cut = self._last[1]
        return StatisticsSpace(classifier, batch.images, cut, Multipliers.read(self.options, cut.axis, cut.nonnegative))


class StatisticsSpace(Space):
    """A change is (B, 2 C), what each multiplier of an image's C means and C deviations differs from one by.

    Its size is the largest of them. Statistics are those of each image alone, so that no image depends on its batch.
    There are no changed images; the classifier goes on from the changed features.
    """

    unit = UNIT
    has_images = False

    def __init__(self, classifier: Divisible, clean: Tensor, cut: Cut, multipliers: Multipliers) -> None:
        self.divided, self.cut, self.multipliers = classifier, cut, multipliers
        self.largest = multipliers.epsilon
        self.clean = clean
        self._begin()
        super().__init__(classifier, clean, 2 * self.moments.mean.shape[1])

    def _begin(self) -> None:
        """Run the classifier up to the cut, which all changes have in common.

        In evaluation mode what it gives is a constant; in training mode its parameters may be trained through it.
        """
        self.training = getattr(self.divided, "training", False)
        # not under no_grad: autocast would keep copies of weights that have no gradient
        front = self.cut.front(self.divided, self.clean)
        self.front = front if self.training else front.detached()
        self.moments = self.multipliers.moments(self.front.features, group=1)

    def forward(self, change: Tensor) -> Tensor:
        if getattr(self.divided, "training", False) != self.training:
            self._begin()
        features = self.multipliers.apply(self.front.features, self.moments, change)
        return self.cut.rest(self.divided, self.front, features)

    def size(self, change: Tensor) -> Tensor:
        return change.abs().amax(dim=1)

    def within(self, change: Tensor, budget: Tensor) -> Tensor:
        return self.multipliers.bounded(change, budget[:, None])

    def direction(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def slope(self, gradient: Tensor) -> Tensor:
        return gradient.abs().sum(dim=1)

    def draw(self, budget: Tensor, noise: Streams) -> Tensor:
        change = 2 * noise.uniform(self.dimension) - 1
        return change * (budget / self.size(change))[:, None]

    def select(self, index: Tensor) -> Self:
        """The space of some of the images, whose features are computed again: what was kept is not all per image."""
        chosen = super().select(index)
        chosen._begin()
        return chosen
