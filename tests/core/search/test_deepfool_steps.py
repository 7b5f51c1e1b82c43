"""DeepFool step by step on a line: which boundary it goes to, how far, what it counts and why it stops."""

from __future__ import annotations

import pytest
import torch
from searching import Line, line, run, zeros
from torch import Tensor

from granu import Criterion
from granu.search.deepfool import Crossing, DeepFoolCandidates, DeepFoolStop, deepfool
from granu.search.state import SearchState

INFINITE = float("inf")


def classes(*offsets_and_slopes: tuple[float, float]) -> object:
    """Logits of class 0, which are zero, and of classes that are linear in x."""

    def logits(x: Tensor, image: Tensor) -> Tensor:
        return torch.stack([0 * x, *(offset + slope * x for offset, slope in offsets_and_slopes)], dim=1)

    return logits


def bends(x: Tensor, image: Tensor) -> Tensor:
    """Classes 1 and 2 lead at zero; behind x = 1 class 3 is ranked highest, and the nearest one."""
    third = torch.where(x < 1, x / 100 - 5, x / 2 - 1.5)
    second = torch.where(x < 1, x / 4 - 2.5, -9 + x)
    first = torch.where(x < 1, x - 1.5, x / 8 - 0.75)
    return torch.stack([0 * x, first, second, third], dim=1)


def go(state: SearchState, **options: object) -> Crossing:
    chosen = {"limit": torch.full_like(state.size, 100.0), "steps": 10, "classes": 9, **options}
    return deepfool(state, **chosen)  # type: ignore[arg-type]


def visited(state: SearchState) -> list[float]:
    return sum(state._everything[0].visited, [])  # type: ignore[attr-defined]


def test_a_step_goes_to_the_nearest_boundary_and_two_percent_beyond() -> None:
    state = line(classes((-1, 1), (-3, -10)))  # type: ignore[arg-type]
    crossing = go(state)
    assert visited(state) == pytest.approx([0, -0.3 * 1.02])
    assert crossing.change.item() == pytest.approx(-0.306) and state.size.item() == pytest.approx(0.306)
    assert crossing.crossed.all() and crossing.stop.tolist() == [DeepFoolStop.CROSSED]
    assert (state.forward.item(), state.backward.item()) == (2, 2)
    assert not crossing.normal.any()


def test_the_boundary_is_where_the_other_class_leads_by_the_margin() -> None:
    state = line(classes((-1, 1)), margin=0.5)  # type: ignore[arg-type]
    go(state, overshoot=0.1)
    assert visited(state) == pytest.approx([0, 1.65])
    # the label leads by less than nothing, yet not by the margin: the step is what is missing
    behind = line(classes((1, 1)), margin=1.5)  # type: ignore[arg-type]
    go(behind, overshoot=0.1)
    assert visited(behind) == pytest.approx([0, 0.55])


def test_as_many_classes_are_compared_as_asked_for_and_never_the_label() -> None:
    offers = classes((-1, 1), (-3, -10), (-4, 0.1))
    for asked, compared, end in [(1, 1, 1.02), (2, 2, -0.306), (3, 3, -0.306), (9, 3, -0.306)]:
        state = line(offers)  # type: ignore[arg-type]
        go(state, classes=asked)
        assert state.backward.item() == compared and visited(state)[1] == pytest.approx(end)


@pytest.mark.parametrize(
    ("candidates", "path", "passes"),
    [
        # behind the first step the lead of class 1 is 0.75 - 1.53 / 8 at a slope of 1 / 8
        (DeepFoolCandidates.FIXED, [0, 1.53, 6.0894], 4),
        (DeepFoolCandidates.NEAREST, [0, 1.53, 6.0894], 3),
        (DeepFoolCandidates.RANKED_ANEW, [0, 1.53, 3.0294], 4),
    ],
)
def test_candidates_are_fixed_at_the_first_step_or_ranked_anew(
    candidates: DeepFoolCandidates, path: list[float], passes: int
) -> None:
    state = line(bends)
    go(state, classes=2, candidates=candidates)
    assert visited(state) == pytest.approx(path, rel=1e-4)
    assert (state.forward.item(), state.backward.item()) == (3, passes)


def test_candidates_are_fixed_by_default() -> None:
    state = line(bends)
    go(state, classes=2)
    assert visited(state) == pytest.approx([0, 1.53, 6.0894], rel=1e-4)


def test_no_step_goes_beyond_the_limit_of_its_image() -> None:
    state = line(classes((-1, 1)), 0.0, 0.0)  # type: ignore[arg-type]
    crossing = go(state, limit=torch.tensor([0.5, 3.0]), steps=4)
    assert crossing.stop.tolist() == [DeepFoolStop.STEPS_SPENT, DeepFoolStop.CROSSED]
    assert state.tried.tolist() == pytest.approx([0.5, 1.02])
    assert state.forward.tolist() == [5, 2] and state.backward.tolist() == [4, 1]
    assert state.found.tolist() == [False, True] and crossing.change[:, 0].tolist() == pytest.approx([0, 1.02])
    assert crossing.without_gradient.tolist() == crossing.crossed.logical_not().logical_and(state.found).tolist()


def test_a_step_has_a_minimum_before_its_overshoot() -> None:
    state = line(classes((-0.1, 1)), 0.0, 0.0)  # type: ignore[arg-type]
    go(state, minimum_step=torch.tensor([2.0, 0.0]))
    assert state.size.tolist() == pytest.approx([2.04, 0.102])
    same = line(classes((-0.1, 1)), 0.0, 0.0)  # type: ignore[arg-type]
    go(same, minimum_step=0.5, overshoot=0.0)
    assert same.size.tolist() == [0.5, 0.5]


def test_the_search_takes_a_minimum_step_of_a_ten_millionth_of_the_limit() -> None:
    space = Line(classes((-1e-9, 1)))  # type: ignore[arg-type]
    run("deepfool", space, Criterion(zeros(1)), margin=0.0, overshoot=0.5, limit=4.0)
    assert sum(space.visited, []) == pytest.approx([0, 1.5 * 4e-7], rel=1e-4)


def test_the_search_takes_its_options_and_notes_a_missing_gradient() -> None:
    space = Line(classes((-1, 1), (-3, -10)))  # type: ignore[arg-type]
    found = run("deepfool", space, Criterion(zeros(1)), margin=0.5, overshoot=0.1, candidates=1)
    assert sum(space.visited, []) == pytest.approx([0, 1.65]) and found.backward.item() == 1
    assert found.size.item() == found.tried.item() == pytest.approx(1.65) and found.extra == {}
    short = run("deepfool", Line(classes((-1, 1))), Criterion(zeros(1)), steps=3, limit=0.5)  # type: ignore[arg-type]
    assert (short.forward.item(), short.tried.item(), short.notes) == (4, 0.5, (None,))
    flat = run("deepfool", Line(classes((-1, 0))), Criterion(zeros(1)))  # type: ignore[arg-type]
    assert flat.notes == ("the gradient is zero or not finite; the classifier may mask it",)
    assert flat.forward.item() == flat.backward.item() == 1


def test_the_normal_is_taken_at_the_crossing_for_one_pass_more() -> None:
    state = line(classes((-1, 1), (-3, -10)))  # type: ignore[arg-type]
    crossing = go(state, normals=True, candidates=DeepFoolCandidates.NEAREST)
    assert crossing.normal.tolist() == [[-1]] and crossing.crossed.all()
    assert (state.forward.item(), state.backward.item()) == (2, 3)


def test_at_a_crossing_the_nearest_candidate_is_the_class_found_there() -> None:
    """A step towards class 1 ends where class 2 leads, whose normal points the other way."""

    def logits(x: Tensor, image: Tensor) -> Tensor:
        return torch.stack([0 * x, x - 1, torch.where(x < 0.5, -3 + 0 * x, 5 - x)], dim=1)

    state = line(logits)
    crossing = go(state, normals=True, candidates=DeepFoolCandidates.NEAREST)
    assert crossing.normal.tolist() == [[-1]]


def test_at_the_last_visit_only_images_that_crossed_cost_a_gradient() -> None:
    def logits(x: Tensor, image: Tensor) -> Tensor:
        return torch.stack([0 * x, torch.where(image > 0, x.exp() - 9, x - 1)], dim=1)

    state = line(logits, 0.0, 1.0)
    crossing = go(state, steps=1, normals=True)
    assert crossing.stop.tolist() == [DeepFoolStop.CROSSED, DeepFoolStop.CROSSED]  # exp(8.16) is more than 9
    state = line(logits, 0.0, 1.0)
    crossing = go(state, steps=1, normals=True, limit=torch.tensor([9.0, 2.0]))
    assert crossing.stop.tolist() == [DeepFoolStop.CROSSED, DeepFoolStop.STEPS_SPENT]
    assert state.forward.tolist() == [2, 2] and state.backward.tolist() == [2, 1]
    assert crossing.normal[0].item() == 1
    assert state.active.tolist() == [1]


def test_images_that_crossed_cost_no_gradient_while_others_go_on() -> None:
    state = line(lambda x, image: torch.stack([0 * x, image + x], dim=1), 1.0, -1.0)
    crossing = go(state)
    assert state.forward.tolist() == [1, 2] and state.backward.tolist() == [0, 1]
    assert crossing.change[:, 0].tolist() == pytest.approx([0, 1.02]) and state.size[0] == 0


@pytest.mark.parametrize("normals", [False, True])
def test_an_unusable_gradient_stops_only_its_own_image(normals: bool) -> None:
    """Slopes 0, 1 and infinity by image."""
    state = line(lambda x, image: torch.stack([0 * x, image * x - 1], dim=1), 0.0, 1.0, INFINITE)
    crossing = go(state, normals=normals)
    reasons = [DeepFoolStop.ZERO_GRADIENT, DeepFoolStop.CROSSED, DeepFoolStop.NOT_FINITE]
    assert crossing.stop.tolist() == reasons and crossing.crossed.tolist() == [False, True, False]
    assert crossing.without_gradient.tolist() == [True, False, True]
    assert state.forward.tolist() == [1, 2, 1] and crossing.normal[:, 0].tolist() == [0, float(normals), 0]


def test_a_candidate_without_a_gradient_does_not_hide_another() -> None:
    state = line(classes((-1, 0), (-2, 1)))  # type: ignore[arg-type]
    crossing = go(state)
    assert crossing.crossed.all() and crossing.change.item() == pytest.approx(2.04)


def test_the_reasons_have_numbers_of_their_own() -> None:
    assert [stop.value for stop in DeepFoolStop] == [0, 1, 2, 3]
