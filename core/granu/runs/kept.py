"""Choice of the images kept as PNGs: the first that a classifier gets right, since only these are changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor

from granu.errors import ClassifierError
from granu.runs.judge import classify
from granu.runs.sources import Source, Unreadable
from granu.types import Batch, Classifier


def first_right(
    source: Source, classifier: Classifier, numbers: Tensor | None, most: int, count: int, batch: int
) -> frozenset[str]:
    """Ids of the first `most` among the first `count` images that are classified correctly.

    They do not depend on what else is measured, and so are the same in every process; `batch` bounds memory. `numbers`
    (K,) are the classifier's class numbers for the classes of the source; without them every image counts as right.
    """
    kept: list[str] = []
    step = max(1, min(most, batch))
    for start in range(0, min(count, len(source)), step):
        if len(kept) >= most:
            break
        positions = range(start, min(start + step, count, len(source)))
        right = {id_ for some in source.batches(positions) for id_ in _right(some, classifier, numbers)}
        kept += [id_ for position in positions if (id_ := source.image_id(position)) in right]
    return frozenset(kept[:most])


def _right(batch: Batch | Unreadable, classifier: Classifier, numbers: Tensor | None) -> Iterator[str]:
    if isinstance(batch, Unreadable):
        return
    with contextlib.suppress(ClassifierError):  # it is raised again, and recorded, where the batch is measured
        predicted = classify(classifier, batch.images, "").predicted
        labels = predicted if numbers is None else numbers.to(batch.labels.device)[batch.labels]
        yield from (id_ for id_, hit in zip(batch.ids, (predicted == labels).tolist(), strict=True) if hit)
