"""Searches with guides, on linear classifiers of two pixels where the smallest label-preserving change is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from granu import Batch, Criterion
from granu.search.guides import Guide, GuidedClassifier, GuidedCriterion, guided, keep_label
from granu.search.options import SEARCHES
from granu.search.registry import make_search
from granu.spaces.base import PixelSpace
from granu.streams import Streams


class Linear:
    """Logits `bias + weight @ pixels` of images (B, 1, 1, 2)."""

    def __init__(self, weight: Sequence[Sequence[float]], bias: Sequence[float], classes: Sequence[str]) -> None:
        self.weight, self.bias, self.classes = torch.tensor(weight).float(), torch.tensor(bias).float(), classes

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T + self.bias

    def layers(self) -> dict[str, torch.nn.Module]:
        return {}


TESTED = Linear([[0, 0], [1, 0.5]], [0.3, 0], ("dark", "bright"))  # bright where x + y / 2 > 0.3
CAREFUL = Linear([[0, 0], [1, 0]], [0.1, 0], ("dark", "bright"))  # keeps `dark` where x < 0.1
BLACK = Batch(torch.zeros(1, 1, 1, 2), torch.zeros(1, dtype=torch.int64), ("black",))
BOTH = torch.tensor([0, 1])


def found(name: str, guides: Sequence[Guide], **options: float) -> tuple[Tensor, Tensor]:
    tested, criterion = guided(TESTED, Criterion(BLACK.labels), guides, BLACK)
    space = PixelSpace(tested, BLACK.images, "l2")
    result = make_search(name, SEARCHES[name](**options)).run(space, criterion, Streams(0, BLACK.ids))
    assert result.found.all()
    return space.images(result.change).flatten(), result.size


def test_the_smallest_label_preserving_change_is_found_where_the_smallest_loses_the_label() -> None:
    image, size = found("smallest", [])
    assert image.tolist() == pytest.approx([0.24, 0.12], abs=0.01)
    image, size = found("smallest", [Guide(CAREFUL, BOTH)])
    assert image.tolist() == pytest.approx([0.1, 0.4], abs=0.02)
    assert size.item() == pytest.approx(math.hypot(0.1, 0.4), rel=0.03) and size.item() > math.hypot(0.1, 0.4) * 0.97


def test_a_change_that_the_guides_keep_anyway_is_searched_no_further() -> None:
    indifferent = Guide(Linear([[0, 0], [0, 0]], [1, 0], ("dark", "bright")), BOTH)
    tested, criterion = guided(TESTED, Criterion(BLACK.labels), [indifferent], BLACK)
    space = PixelSpace(tested, BLACK.images, "l2")
    alone = make_search("smallest", SEARCHES["smallest"]()).run(
        PixelSpace(TESTED, BLACK.images, "l2"), Criterion(BLACK.labels), Streams(0, BLACK.ids)
    )
    both = make_search("smallest", SEARCHES["smallest"]()).run(space, criterion, Streams(0, BLACK.ids))
    assert both.size.item() == alone.size.item()
    assert both.backward.item() == alone.backward.item() and both.forward.item() == alone.forward.item() + 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("worst", {"budget": 0.6, "effort": "quick"}),
        ("pgd", {"budget": 1.0}),
        ("random", {"budget": 0.6, "steps": 200}),
        ("dunn2020", {"margin": 0.01}),
    ],
)
def test_other_searches_take_guides(name: str, options: dict[str, float]) -> None:
    image, _ = found(name, [Guide(CAREFUL, BOTH)], **options)
    assert image[0] < 0.1 and image[0] + image[1] / 2 > 0.3


def test_a_class_leads_only_as_far_as_every_guide_keeps_the_label() -> None:
    criterion = GuidedCriterion(
        torch.tensor([0]),
        guide_labels=(torch.tensor([1]), torch.tensor([0])),
        takes_part=(torch.tensor([True]), torch.tensor([True])),
        outputs=(3, 2, 2),
    )
    logits = torch.tensor([[1.0, 4.0, 2.0, 0.0, 1.5, 5.0, 3.0]])  # leads 3 and 1; kept by 1.5 and 2
    assert criterion.joint_logits(logits).tolist() == [[0.0, 1.5, 1.0]]
    assert criterion.without_guides().joint_logits(logits).tolist() == [[0.0, 3.0, 1.0]]


def test_a_guide_that_does_not_see_the_label_at_first_takes_no_part() -> None:
    wrong = Guide(Linear([[0, 0], [0, 0]], [0, 1], ("dark", "bright")), BOTH)
    unaware = Guide(CAREFUL, torch.tensor([-1, 1]))  # it has no class `dark`
    assert found("smallest", [wrong, unaware])[0].tolist() == pytest.approx([0.24, 0.12], abs=0.01)
    assert keep_label([wrong, unaware], BLACK, torch.ones(1, 1, 1, 2)).tolist() == [True]
    assert keep_label([Guide(CAREFUL, BOTH)], BLACK, torch.ones(1, 1, 1, 2)).tolist() == [False]


def test_a_guide_knows_classes_by_its_own_numbers() -> None:
    swapped = Guide(Linear([[1, 0], [0, 0]], [0, 0.1], ("bright", "dark")), torch.tensor([1, 0]))
    assert found("smallest", [swapped])[0].tolist() == pytest.approx([0.1, 0.4], abs=0.02)


def test_images_may_leave_the_search_one_by_one() -> None:
    criterion = GuidedCriterion(
        torch.tensor([0, 1]),
        0.5,
        guide_labels=(torch.tensor([1, 0]),),
        takes_part=(torch.tensor([True, False]),),
        outputs=(2, 2),
    )
    chosen = criterion.select(torch.tensor([1]))
    assert chosen.margin == 0.5 and chosen.labels.tolist() == [1]
    assert chosen.guide_labels[0].tolist() == [0] and chosen.takes_part[0].tolist() == [False]


def test_a_guided_classifier_answers_with_the_logits_of_all() -> None:
    images = torch.rand(3, 1, 1, 2)
    both = GuidedClassifier(TESTED, [Guide(CAREFUL, BOTH)])
    assert both.classes == TESTED.classes and both.layers() == {}
    assert torch.equal(both(images), torch.cat([TESTED(images), CAREFUL(images)], dim=1))
