"""Kept images: the first that the classifier gets right, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from granu.runs.kept import first_right
from granu.runs.sources import Unreadable
from granu.types import Batch

LABELS = torch.tensor([0, 1, 0, 1, 0, 1])


class Six:
    """Six images of one grey each, the classes in turn; the third cannot be read. The fifth is brighter than white."""

    classes = ("dark", "bright")
    named = True

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.greys = torch.tensor([0.1, 0.2, 0.3, 0.8, 1.5, 0.9])

    def __len__(self) -> int:
        return 6

    def image_id(self, position: int) -> str:
        return f"p{position}"

    def batches(self, positions: Sequence[int]) -> Iterator[Batch | Unreadable]:
        self.asked += positions
        if 2 in positions:
            yield Unreadable("p2", "it is cut off")
        for position in reversed([one for one in positions if one != 2]):  # one by one, as images of different sizes
            yield Batch(self.greys[position].view(1, 1, 1, 1), LABELS[position].view(1), (f"p{position}",))


class Threshold:
    """Names bright what is brighter than one half; NaN beyond white."""

    classes = ("dark", "bright")

    def __call__(self, images: Tensor) -> Tensor:
        bright = images[:, 0, 0, 0] - 0.5
        return torch.stack([-bright, bright], dim=1).masked_fill((bright > 0.5)[:, None], torch.nan)

    def layers(self) -> dict[str, torch.nn.Module]:
        return {}


def kept(most: int, count: int = 6, batch: int = 50, numbers: Tensor | None = LABELS[:2]) -> list[str]:
    return sorted(first_right(Six(), Threshold(), numbers, most, count, batch))  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 2, 3, 50])
def test_images_that_are_wrong_or_unreadable_do_not_use_up_the_number(batch: int) -> None:
    assert kept(2, batch=batch) == ["p0", "p3"], "p1 is misclassified, p2 cannot be read"
    assert kept(3, batch=batch) == ["p0", "p3", "p5"], "the answer to p4 is NaN"


def test_only_images_that_are_measured_are_kept() -> None:
    assert kept(9, count=5) == ["p0", "p3"] and kept(9, count=99) == ["p0", "p3", "p5"]
    assert kept(0) == []


def test_images_without_classes_are_right_and_no_more_are_read_than_needed() -> None:
    assert kept(2, numbers=None) == ["p0", "p1"]
    source = Six()
    first_right(source, Threshold(), None, 2, 6, 50)  # type: ignore[arg-type]
    assert source.asked == [0, 1]


def test_class_numbers_are_the_classifiers() -> None:
    assert kept(9, numbers=torch.tensor([1, 0])) == ["p1"]


def test_no_more_are_kept_than_asked_for_where_batches_are_smaller() -> None:
    source = Six()
    source.greys = torch.full((6,), 0.1)
    ids = first_right(source, Threshold(), None, 4, 6, 3)  # type: ignore[arg-type]
    assert sorted(ids) == ["p0", "p1", "p3", "p4"], "p2 cannot be read, and p5 is of the last batch"
