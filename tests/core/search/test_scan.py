"""Searches along rays: both signs are tried, gaps between sizes are closed, and more steps are never worse."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from granu import Criterion, OptionError, Space
from granu.search.options import SEARCHES
from granu.search.registry import make_search
from granu.search.result import SearchResult
from granu.search.scan import HALVINGS, ROUNDS
from granu.streams import Streams

LARGEST = 2.0
Broken = Callable[[Tensor], Tensor]  # change (B, D) to bool (B,)


class Scanned(Space):
    """A change (B, D) fools where `broken` says so; the distance to 1 is the label's lead otherwise."""

    unit, largest, differentiable = "units", LARGEST, False

    def __init__(self, broken: Broken, rays: list[list[float]], count: int = 3) -> None:
        super().__init__(lambda images: images, torch.zeros(count, 1, 1, 1), len(rays[0]))
        self.broken, self.along = broken, torch.tensor(rays)
        self.asked: list[float] = []

    def images(self, change: Tensor) -> Tensor:
        self.asked += change[:, 0].tolist()
        return change[:, :1, None, None]

    def size(self, change: Tensor) -> Tensor:
        return change.norm(dim=1)

    def rays(self) -> Tensor:
        return self.along

    def judged_logits(self, change: Tensor) -> Tensor:
        self.asked += change[:, 0].tolist()
        lead = torch.where(self.broken(change), -1.0, 1 / (1 + change.norm(dim=1)))
        return torch.stack([lead, torch.zeros_like(lead)], dim=1)


BOTH = [[1.0], [-1.0]]


def search(name: str, space: Space, **options: Any) -> SearchResult:
    count = len(space.start())
    criterion = Criterion(torch.zeros(count, dtype=torch.int64))
    return make_search(name, SEARCHES[name](**options)).run(
        space, criterion, Streams(0, [str(i) for i in range(count)])
    )


@pytest.mark.parametrize("boundary", [0.013, 0.7, 1.99])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_smallest_size_is_found_on_either_side(boundary: float, sign: int) -> None:
    found = search("smallest", Scanned(lambda change: sign * change[:, 0] >= boundary, BOTH))
    gap = LARGEST / ROUNDS[0] / 2**HALVINGS
    assert (found.size >= boundary - 1e-6).all() and (found.size <= boundary + gap + 1e-6).all()
    assert (found.change.sign() == sign).all() and not found.backward.any()


def test_an_island_between_the_first_sizes_is_found_by_a_later_round() -> None:
    step = LARGEST / ROUNDS[0]
    island = (5.4 * step, 5.6 * step)
    broken = lambda change: (change[:, 0] > island[0]) & (change[:, 0] < island[1]) | (change[:, 0] > 1.9)  # noqa: E731
    assert (search("smallest", Scanned(broken, BOTH)).size < island[1]).all()
    assert (search("smallest", Scanned(broken, BOTH), steps=ROUNDS[0] + HALVINGS).size > 1.8).all()


def test_what_is_not_found_is_censored_at_the_limit() -> None:
    space = Scanned(lambda change: change[:, 0] > 1.5, BOTH)
    found = search("smallest", space, limit=1.0)
    assert found.size.isinf().all() and torch.equal(found.tried, torch.ones(3)) and max(space.asked) == 1
    assert (search("smallest", space, steps=4).tried == 4 * LARGEST / ROUNDS[0]).all()


def test_more_steps_are_never_worse_and_images_do_not_depend_on_each_other() -> None:
    boundaries = torch.tensor([[0.3], [1.7], [0.9]])
    space = Scanned(lambda change: change[:, 0].abs() >= 1.1, BOTH)

    class PerImage(Scanned):
        def __init__(self, boundaries: Tensor) -> None:
            super().__init__(lambda change: change[:, 0] >= self.boundaries[:, 0], BOTH, len(boundaries))
            self.boundaries = boundaries

        def select(self, index: Tensor) -> PerImage:
            chosen = super().select(index)
            chosen.boundaries = self.boundaries[index]
            chosen.broken = lambda change: change[:, 0] >= chosen.boundaries[:, 0]
            return chosen

    together = search("smallest", PerImage(boundaries)).size
    alone = [search("smallest", PerImage(boundaries[i : i + 1])).size for i in range(3)]
    assert torch.equal(together, torch.cat(alone)) and len(set(together.tolist())) == 3
    sizes = [search("smallest", space, steps=steps).size for steps in (1, 5, 9, 12, 20, 40, 100)]
    assert all((later <= earlier).all() for earlier, later in pairwise(sizes))


def test_all_rays_of_several_dimensions_are_tried() -> None:
    compass = [[1.0, 0.0], [0.0, 1.0], [-0.6, 0.8]]
    found = search("smallest", Scanned(lambda change: change[:, 1] - change[:, 0] >= 1, compass))
    assert torch.allclose(found.size, torch.tensor(1 / 1.4), atol=1e-3) and (found.change[:, 0] < 0).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_pgd_looks_at_sizes_below_the_budget_on_both_sides(sign: int) -> None:
    broken = lambda change: (sign * change[:, 0] - 0.75).abs() < 0.01  # noqa: E731
    assert (search("pgd", Scanned(broken, BOTH), budget=1.0).size == 0.75).all()
    assert not search("pgd", Scanned(broken, BOTH), budget=1.0, steps=3).found.any()
    assert not search("pgd", Scanned(broken, BOTH), budget=0.5).found.any()


def test_worst_tries_more_sizes_along_rays_with_more_effort() -> None:
    counts = [
        int(search("worst", Scanned(lambda change: change[:, 0] > 9, BOTH), budget=1.0, effort=effort).forward[0])
        for effort in ("quick", "standard", "thorough")
    ]
    assert counts == [20, 80, 320]  # two rays


def test_worst_keeps_the_change_under_which_the_label_led_least() -> None:
    space = Scanned(lambda change: torch.zeros(len(change), dtype=torch.bool), BOTH)
    assert (search("worst", space, budget=1.5).change.abs() == 1.5).all()


@pytest.mark.parametrize(("name", "options"), [("deepfool", {}), ("dunn2020", {})])
def test_searches_that_need_a_gradient_say_so(name: str, options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="no gradient; use search=smallest, worst, pgd or random"):
        search(name, Scanned(lambda change: change[:, 0] > 1, BOTH), **options)


def test_deepfool_init_does_not_belong_to_a_scan() -> None:
    with pytest.raises(OptionError, match="deepfool-init"):
        search("smallest", Scanned(lambda change: change[:, 0] > 1, BOTH), deepfool_init=3)
