"""Shared by the tests of the searches: how to search, and closed forms of a linear classifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from granu import Batch, Criterion
from granu.images.classifier import ImageClassifier
from granu.search.options import SEARCHES
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search
from granu.search.result import SearchResult
from granu.search.state import SearchState
from granu.spaces.base import PixelSpace, Space
from granu.streams import Streams
from granu.types import Classifier, Evidence, ImageEvidence, Proposal

COUNT = 9


@torch.no_grad()
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


class Line(Space):
    """One coordinate x per image, of size |x|; `logits_of` gives the logits (B, K) of x (B,) and of a number per image.

    `visited` lists x at each gradient pass and `judged` at each pass without gradient.
    """

    unit = "length"
    largest = 10.0
    has_images = False

    def __init__(self, logits_of: Callable[[Tensor, Tensor], Tensor], images: Sequence[float] = (0.0,)) -> None:
        super().__init__(lambda images: images, torch.tensor(images).view(-1, 1, 1, 1), 1)
        self.logits_of = logits_of
        self.visited: list[list[float]] = []
        self.judged: list[list[float]] = []

    def forward(self, change: Tensor) -> Tensor:
        seen = self.visited if torch.is_grad_enabled() else self.judged
        seen.append(change[:, 0].tolist())
        return self.logits_of(change[:, 0], self.clean.flatten())


def lead(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The logits of two classes of which the first leads by `function` of x."""
    return lambda x, image: torch.stack([function(x), torch.zeros_like(x)], dim=1)


def zeros(count: int) -> Tensor:
    """The labels of `count` images of class 0."""
    return torch.zeros(count, dtype=torch.int64)


def line(logits_of: Callable[[Tensor, Tensor], Tensor], *images: float, margin: float = 0.0) -> SearchState:
    """The state of a search on a line, of class 0."""
    space = Line(logits_of, images or (0.0,))
    count = len(space.clean)
    return SearchState(space, Criterion(zeros(count), margin), Streams(0, [f"tiny#{i}" for i in range(count)]))


def flat(rows: Sequence[Sequence[float]]) -> list[float]:
    """Changes visited on a line, one image after another."""
    return [x for row in rows for x in row]
