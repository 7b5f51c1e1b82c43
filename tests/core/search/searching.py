"""Shared by the tests of the searches: how to search, and closed forms of a linear classifier."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.search.options import SEARCHES
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search
from granu.search.result import SearchResult
from granu.spaces.base import PixelSpace, Space
from granu.streams import Streams
from granu.types import Classifier, Evidence, ImageEvidence, Proposal

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


def run(name: str, space: Space, criterion: Criterion, **options: Any) -> SearchResult:
    """Search a space by name."""
    streams = Streams(0, [f"tiny#{i}" for i in range(len(criterion.labels))])
    return make_search(name, SEARCHES[name](**options)).run(space, criterion, streams)


def searched(norm: str, search: str = "smallest", **options: Any) -> SearchedPerturbation:
    class Pixels:
        unit = norm

        def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
            return PixelSpace(classifier, batch.images, norm)

    return SearchedPerturbation(Pixels(), make_search(search, SEARCHES[search](**options)))


def perturb(perturbation: SearchedPerturbation, classifier: Classifier, batch: Batch) -> Proposal:
    return perturbation.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids, "perturb"))


def shown(evidence: Evidence | None) -> Tensor:
    """The images of image evidence."""
    assert isinstance(evidence, ImageEvidence)
    return evidence.images
