"""Searches that spend a budget, on a line: each change visited, each pass, and what they keep."""

from __future__ import annotations

import pytest
import torch
from searching import Line, flat, lead, line, run, zeros
from torch import Tensor

from granu import Criterion
from granu.search.madry2018 import spend
from granu.search.pgd import projected_gradient_descent
from granu.search.result import SearchResult
from granu.search.state import SearchState
from granu.streams import Streams

NO_GRADIENT = "the gradient is zero or not finite; the classifier may mask it"


def rising(slope: float) -> Line:
    return Line(lead(lambda x: 1 - slope * x))


def descended(space: Line, **options: float) -> SearchResult:
    return run("pgd", space, Criterion(zeros(len(space.clean))), **options)


def test_steps_are_two_and_a_half_budgets_in_all_and_end_at_the_budget() -> None:
    state = line(lead(lambda x: 1 - x), margin=0.0)
    change = projected_gradient_descent(state, torch.tensor([0.5]), steps=4)
    assert flat(state.space.visited) == pytest.approx([0, 0.3125, 0.5, 0.5])  # type: ignore[attr-defined]
    assert change.tolist() == [[0.5]]
    assert (state.forward.item(), state.backward.item()) == (4, 4)  # none at the last change


def test_a_visitor_sees_every_change_the_last_included_and_may_let_images_leave() -> None:
    state = line(lambda x, image: torch.stack([1 - image * x, 0 * x], dim=1), 1.0, 3.0)
    seen: list[tuple[list[float], list[float], list[float]]] = []

    def visit(state: SearchState) -> None:
        work = state.working
        seen.append((work.x[:, 0].tolist(), work.objective.tolist(), work.gradient[:, 0].tolist()))
        state.narrow(work.objective > -2)

    projected_gradient_descent(state, torch.tensor([0.5, 1.0]), steps=2, visit=visit)
    assert seen == [
        ([0.0, 0.0], [1.0, 1.0], [-1.0, -3.0]),
        ([0.5, 1.0], [0.5, -2.0], [-1.0, -3.0]),
        ([0.5], [0.5], [-1.0]),
    ]
    assert state.forward.tolist() == state.backward.tolist() == [3, 2]


def test_a_start_and_an_objective_of_ones_own_take_the_place_of_zero_and_the_criterion() -> None:
    state = line(lead(lambda x: 1 - x))

    def objective(logits: Tensor, criterion: Criterion) -> Tensor:
        return -criterion.objective(logits)

    change = projected_gradient_descent(
        state, torch.tensor([1.0]), steps=10, start=torch.tensor([[0.5]]), objective=objective
    )
    assert flat(state.space.visited)[:4] == pytest.approx([0.5, 0.25, 0, -0.25])  # type: ignore[attr-defined]
    assert change.item() == -1


def test_nothing_is_computed_without_active_images() -> None:
    state = line(lead(lambda x: 1 - x))
    state.narrow(torch.tensor([False]))
    projected_gradient_descent(state, torch.empty(0), steps=3, visit=lambda state: pytest.fail("nothing to visit"))
    assert not state.forward.any()


def test_an_image_leaves_as_soon_as_its_evidence_reaches_the_margin() -> None:
    space = rising(1)
    found = descended(space, budget=2.0, steps=5, margin=0.5)
    assert space.visited == [[0], [1], [2]] and space.judged == [[2]]
    assert (found.change.item(), found.size.item(), found.tried.item()) == (2, 2, 2)
    assert (found.forward.item(), found.backward.item(), found.notes) == (4, 3, (None,))
    assert found.extra == {}


def test_a_lead_of_just_the_margin_does_not_reach_it() -> None:
    space = rising(1)
    found = descended(space, budget=2.0, steps=2, margin=1.0)
    assert not found.found.any() and not space.judged
    assert (found.change.item(), found.tried.item(), found.notes) == (2, 2, (None,))


def test_what_the_gradient_pass_finds_is_not_believed_before_it_is_judged() -> None:
    class Doubtful(Line):
        def judged_logits(self, change: Tensor) -> Tensor:
            return super().judged_logits(change - 0.5)

    space = Doubtful(lead(lambda x: 1 - x))
    found = descended(space, budget=2.0, steps=4, margin=0.0)
    assert space.visited == [[0], [1.25], [2]] and space.judged == [[0.75], [1.5]]
    assert (found.size.item(), found.forward.item(), found.backward.item()) == (2, 5, 3)


def test_of_changes_that_do_not_reach_the_one_under_which_the_label_leads_least_is_kept() -> None:
    """The first image reaches at once; the second comes closest at x = 1.25."""

    def logits(x: Tensor, image: Tensor) -> Tensor:
        return torch.stack([torch.where(image > 0, 1 + (x - 1.2).square(), -1 - x), 0 * x], dim=1)

    space = Line(logits, (0.0, 1.0))
    found = descended(space, budget=2.0, steps=4)
    assert flat(space.visited) == pytest.approx([0, 0, 1.25, 0, 1.25, 0])
    assert found.change[:, 0].tolist() == [0, 1.25] and found.found.tolist() == [True, False]
    assert found.tried.tolist() == [0, 1.25]
    assert found.forward.tolist() == [2, 6] and found.backward.tolist() == [1, 5]  # one judged together
    assert space.judged == [[0, 0]]


def test_of_changes_under_which_the_label_leads_alike_the_first_is_kept() -> None:
    space = Line(lead(lambda x: 1 + (x - 1).square()))
    found = descended(space, budget=2.0, steps=2)
    assert flat(space.visited) == [0, 2, -0.5] and found.change.item() == 0


def test_the_last_change_visited_is_returned() -> None:
    state = line(lead(lambda x: 1 + (x - 1.2).square()))
    change = projected_gradient_descent(state, torch.tensor([2.0]), steps=5, visit=lambda state: None)
    assert flat(state.space.visited) == pytest.approx([0, 1, 2, 1, 2, 1])  # type: ignore[attr-defined]
    assert change.item() == 1


def test_a_budget_may_differ_by_image() -> None:
    state = line(lead(lambda x: 9 - x), 0.0, 0.0)
    spend(state, torch.tensor([1.0, 3.0]), steps=3)
    assert state.change[:, 0].tolist() == [1, 3] and state.tried.tolist() == [1, 3]


@pytest.mark.parametrize("slope", [0.0, float("nan")])
def test_an_image_without_a_gradient_leaves_with_a_note(slope: float) -> None:
    found = descended(rising(slope), budget=1.0)
    assert found.notes == (NO_GRADIENT,) and not found.found.any()
    assert found.forward.item() == found.backward.item() == 1


def test_pgd_and_random_take_the_steps_and_budget_that_were_asked_for() -> None:
    held = descended(rising(0.1), budget=2.0, steps=7)
    assert (held.forward.item(), held.backward.item()) == (8, 8)
    drawn = run("random", rising(0.0), Criterion(zeros(1)), budget=2.0, steps=7)
    assert (drawn.forward.item(), drawn.backward.item(), drawn.tried.item()) == (7, 0, 2)


def test_random_judges_draws_from_the_streams_and_stops_at_the_first_that_reaches() -> None:
    """The label leads by 3 - x or 3: the first image is misclassified by the first positive draw, the second never."""

    def logits(x: Tensor, image: Tensor) -> Tensor:
        return torch.stack([torch.where(image > 0, 3 + 0 * x, 3 - x), 0 * x], dim=1)

    space = Line(logits, (0.0, 1.0))
    found = run("random", space, Criterion(zeros(2)), budget=4.0, steps=6, margin=0.5)
    streams = Streams(0, ["tiny#0", "tiny#1"])
    signs = torch.cat([streams.normal(1) for _ in range(6)], dim=1).sign()
    needed = int((signs[0] > 0).nonzero()[0]) + 1
    assert 1 < needed < 6, "another seed would show more"
    assert found.forward.tolist() == [needed, 6] and not found.backward.any() and not space.visited
    assert found.change[:, 0].tolist() == pytest.approx([4, float(4 * signs[1, 5])])
    assert found.size.tolist() == pytest.approx([4, torch.inf]) and found.tried.tolist() == pytest.approx([4, 4])
    assert found.notes == (None, None) and found.extra == {}


def test_random_draws_no_change_beyond_what_the_space_allows() -> None:
    class Short(Line):
        def within(self, change: Tensor, budget: Tensor) -> Tensor:
            return change.clamp(-0.5, 0.5)

    space = Short(lead(lambda x: 1 + 0 * x))
    found = run("random", space, Criterion(zeros(1)), budget=4.0, steps=2)
    assert found.tried.item() == 0.5 and found.change.abs().item() == 0.5
