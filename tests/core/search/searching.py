"""What the tests of the searches share: how to search, and what mathematics knows of a linear classifier."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.search.options import SearchOptions
from granu.search.perturbation import SearchedPerturbation
from granu.spaces.base import PixelSpace, Space
from granu.streams import Streams
from granu.types import Classifier, Proposal

COUNT = 9


def nearest_boundary(classifier: ImageClassifier, batch: Batch, dual: float) -> Tensor:
    """Distance to the nearest class boundary of a linear classifier: gap over dual norm, (B,)."""
    weight = classifier.network[1].weight
    logits = classifier(batch.images)
    gaps = logits.gather(1, batch.labels[:, None]) - logits
    slopes = (weight[batch.labels][:, None] - weight[None]).norm(p=dual, dim=2)
    distance = gaps / slopes
    return distance.scatter(1, batch.labels[:, None], math.inf).amin(dim=1)


def limits(value: float) -> Tensor:
    return torch.full((COUNT,), float(value))


def searched(classifier: Classifier, norm: str, **options: object) -> SearchedPerturbation:
    class Pixels:
        unit = norm

        def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
            return PixelSpace(classifier, batch.images, norm)

    return SearchedPerturbation(Pixels(), SearchOptions(**options))  # type: ignore[arg-type]


def perturb(perturbation: SearchedPerturbation, classifier: Classifier, batch: Batch) -> Proposal:
    return perturbation.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids, "perturb"))
