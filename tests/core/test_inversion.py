"""Inversion: candidates, descent from several starts, and the distance between images."""

import pytest
import torch
from torch import Tensor

from granu import Inversion
from granu.spaces.inversion import mismatch, schedule

BASIS = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0))).Q[:6]


def render(values: dict[str, Tensor]) -> Tensor:
    """Images in six directions; a tanh makes the descent curved."""
    return 0.5 + (torch.tanh(values["x"]) @ BASIS).view(-1, 1, 8, 8)


def free(values: dict[str, Tensor]) -> Tensor:
    return values["x"].new_zeros(len(values["x"]))


def inversion(rate: float = 0.1) -> Inversion:
    return Inversion(render, free, {"x": rate})  # type: ignore[arg-type]


IMAGE = render({"x": torch.tensor([[0.5, -0.3, 0.2, 0.1, -0.6, 0.4]])})[0]


def test_descent_finds_the_values_of_a_rendered_image() -> None:
    found = inversion().descend(IMAGE, {"x": torch.zeros(1, 6)}, 100)
    torch.testing.assert_close(found["x"], torch.tensor([[0.5, -0.3, 0.2, 0.1, -0.6, 0.4]]), atol=0.02, rtol=0)


def test_the_best_of_several_starts_is_kept() -> None:
    far, near = torch.full((1, 6), 9.0), torch.tensor([[0.5, -0.3, 0.2, 0.1, -0.6, 0.3]])
    found = inversion(0.01).descend(IMAGE, {"x": torch.cat([far, near, -far])}, 3)["x"]
    assert found.shape == (1, 6) and (found - near).abs().max() < 0.1


def test_starts_that_are_not_finite_are_not_kept() -> None:
    starts = torch.stack([torch.full((6,), float("nan")), torch.zeros(6)])
    assert inversion().descend(IMAGE, {"x": starts}, 3)["x"].isfinite().all()


def test_starts_do_not_influence_one_another() -> None:
    starts = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    ways = [inversion().descend(IMAGE, {"x": starts[i : i + 1]}, 20)["x"] for i in range(3)]
    error = [(render({"x": way}) - IMAGE).square().sum() for way in ways]
    best = ways[int(torch.stack(error).argmin())]
    torch.testing.assert_close(inversion().descend(IMAGE, {"x": starts}, 20)["x"], best, atol=1e-4, rtol=0)


def test_a_penalty_pulls_values_towards_where_it_is_low() -> None:
    pulled = Inversion(render, lambda values: 10 * values["x"].square().sum(dim=1), {"x": 0.1})  # type: ignore[arg-type]
    assert pulled.descend(IMAGE, {"x": torch.ones(1, 6)}, 200)["x"].abs().max() < 0.05


def test_the_nearest_candidates_come_first_and_no_more_than_there_are() -> None:
    candidates = torch.stack([torch.full((6,), value) for value in (3.0, 0.1, -3.0, 0.2)])
    found = inversion().nearest(IMAGE, {"x": candidates}, 2)["x"]
    assert sorted(found[:, 0].tolist()) == pytest.approx([0.1, 0.2])
    assert len(inversion().nearest(IMAGE, {"x": candidates}, 9)["x"]) == 4


def test_candidates_are_compared_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = {"x": torch.randn(7, 6, generator=torch.Generator().manual_seed(2))}
    whole = inversion().nearest(IMAGE, candidates, 3)["x"]
    monkeypatch.setattr("granu.spaces.inversion.PIXELS_AT_ONCE", 2 * 64)
    assert torch.equal(inversion().nearest(IMAGE, candidates, 3)["x"], whole)


def test_images_differ_less_where_averages_over_squares_agree() -> None:
    flat = torch.full((2, 1, 8, 8), 0.5)
    board = torch.zeros(8, 8)
    board[::2, ::2], board[1::2, 1::2] = 0.1, -0.1  # its averages over squares of two pixels are zero
    changed = flat + torch.stack([board, board.abs()])[:, None]
    assert mismatch(changed, flat).tolist() == pytest.approx([0.005, 0.005 + 0.0025])


def test_the_step_size_rises_shortly_and_then_falls_to_zero() -> None:
    sizes = [schedule(step, 100) for step in range(100)]
    assert sizes[0] == pytest.approx(0.2) and max(sizes) == sizes[4] and sizes[99] < 1e-3
    assert schedule(0, 1) == 1


def test_inversion_works_where_gradients_are_switched_off() -> None:
    with torch.no_grad():
        found = inversion().descend(IMAGE, {"x": torch.zeros(1, 6)}, 50)["x"]
    assert not found.requires_grad and (render({"x": found}) - IMAGE).abs().max() < 0.05
