"""`dunn2020`: Adam as torch computes it, from a small random start, under a bound that grows with each step."""

from __future__ import annotations

import pytest
import torch
from searching import Line, lead, run, zeros
from torch import Tensor

from granu import Criterion
from granu.streams import Streams


def start(dimension: int, images: int = 1) -> Tensor:
    return 1e-4 * Streams(0, [f"tiny#{i}" for i in range(images)]).normal(dimension)


def bowl(x: Tensor) -> Tensor:
    return 3 + (x - 0.02).square() * (1 + 40 * x)


def test_it_moves_as_adam_does_from_a_ten_thousandth_of_a_normal_draw() -> None:
    x = start(1)[0].clone().requires_grad_()
    adam = torch.optim.Adam([x], lr=0.003, betas=(0.9, 0.999), eps=1e-8)
    expected = []
    for _ in range(30):
        expected.append(x.item())
        adam.zero_grad()
        bowl(x).sum().backward()
        adam.step()
    space = Line(lead(bowl))
    found = run("dunn2020", space, Criterion(zeros(1)), steps=30)
    assert sum(space.visited, []) == pytest.approx(expected, rel=1e-4, abs=1e-8)
    assert not found.found.any() and found.notes == (None,) and found.extra["bound_steps"].item() == 0
    assert found.forward.item() == found.backward.item() == 30 and not space.judged
    assert found.tried.item() == pytest.approx(max(map(abs, expected)), rel=1e-4)


def test_a_tiny_gradient_moves_it_less() -> None:
    space = Line(lead(lambda x: 3 - 1e-8 * x))
    run("dunn2020", space, Criterion(zeros(1)), steps=2)
    first, second = sum(space.visited, [])
    assert second - first == pytest.approx(0.003 / 2, rel=1e-3)  # the gradient equals Adam's epsilon


class Many(Line):
    """Many coordinates of which the label's lead is the sum; size is their L2 norm."""

    def __init__(self, dimension: int) -> None:
        super().__init__(lambda x, image: x)
        self.dimension = dimension
        self.norms: list[float] = []

    def forward(self, change: Tensor) -> Tensor:
        self.norms.append(float(change.detach().norm()))
        return torch.stack([1e6 - change.sum(dim=1), 0 * change[:, 0]], dim=1)

    def size(self, change: Tensor) -> Tensor:
        return change.norm(dim=1)

    def slope(self, gradient: Tensor) -> Tensor:
        return gradient.norm(dim=1)


def test_the_bound_begins_at_one_and_grows_by_a_tenth_with_each_step() -> None:
    space = Many(250_000)  # a step of Adam is 0.003 * 500 long
    found = run("dunn2020", space, Criterion(zeros(1)), steps=4, limit=9.0)
    assert space.norms[1:] == pytest.approx([1.0, 1.1, 1.2], rel=1e-5)
    assert found.extra["bound_steps"].item() == 4


def test_steps_within_the_bound_are_not_counted() -> None:
    space = Many(40_000)  # a step is 0.6 long: 0.6, 1.2, which the second bound cuts to 1.1, and so on
    found = run("dunn2020", space, Criterion(zeros(1)), steps=4, limit=9.0)
    assert space.norms[1:] == pytest.approx([0.6, 1.1, 1.2], rel=1e-3)
    assert found.extra["bound_steps"].item() == 3


def test_no_change_exceeds_the_limit() -> None:
    space = Many(250_000)
    found = run("dunn2020", space, Criterion(zeros(1)), steps=3, limit=0.5)
    assert space.norms[1:] == pytest.approx([0.5, 0.5], rel=1e-5) and found.tried.item() == pytest.approx(0.5)


def test_it_returns_the_first_change_that_was_judged_to_reach_the_margin() -> None:
    """The label loses by 0.5 from the fifth step on, but the judge agrees only from 0.0165 on."""

    class Doubtful(Line):
        def judged_logits(self, change: Tensor) -> Tensor:
            return super().judged_logits(change - 0.004)

    first = float(start(1))
    space = Doubtful(lead(lambda x: 0.0125 - x - 0.5))
    found = run("dunn2020", space, Criterion(zeros(1)), margin=0.5)
    expected = [first + 0.003 * t for t in range(7)]
    assert sum(space.visited, []) == pytest.approx(expected, rel=1e-4)
    assert sum(space.judged, []) == pytest.approx([x - 0.004 for x in expected[5:]], rel=1e-4)
    assert found.size.item() == found.tried.item() == found.change.item() == pytest.approx(expected[-1])
    assert (found.forward.item(), found.backward.item(), found.notes) == (9, 7, (None,))


def test_images_leave_one_by_one_with_their_own_moments() -> None:
    """The first is misclassified at once, the second has no gradient, the third is searched to the end."""

    def logits(x: Tensor, image: Tensor) -> Tensor:
        return torch.stack([image * (3 + x.square() + x), 0 * x], dim=1)

    space = Line(logits, (-1.0, 0.0, 1.0))
    found = run("dunn2020", space, Criterion(zeros(3)), steps=5)
    assert [len(x) for x in space.visited] == [3, 1, 1, 1, 1] and [len(x) for x in space.judged] == [3]
    assert found.found.tolist() == [True, False, False]
    assert found.notes == (None, "the gradient is zero or not finite; the classifier may mask it", None)
    assert found.forward.tolist() == [2, 2, 6] and found.backward.tolist() == [1, 1, 5]
    alone = Line(logits, (1.0,))
    streams = Streams(0, ["tiny#2"])
    from granu.search.options import SEARCHES
    from granu.search.registry import make_search

    again = make_search("dunn2020", SEARCHES["dunn2020"](steps=5)).run(alone, Criterion(zeros(1)), streams)
    assert again.tried.item() == found.tried[2].item()
    assert [x[-1] for x in space.visited] == sum(alone.visited, [])


def test_it_stops_when_every_image_has_left() -> None:
    space = Line(lead(lambda x: -3 - x))
    found = run("dunn2020", space, Criterion(zeros(1)))
    assert found.forward.item() == 2 and found.backward.item() == 1 and found.found.all()
