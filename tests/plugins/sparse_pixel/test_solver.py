"""The linear solver against a slow greedy, written as the paper writes it, and against trying everything."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from granu_sparse_pixel.solver import Solver, cross_plane


def problem(count: int, *shape: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Images, unit normals, and needs of up to what there is bounds for."""
    noise = torch.Generator().manual_seed(seed)
    x = torch.rand(count, *shape, generator=noise, dtype=torch.float64)
    w = torch.randn(count, *shape, generator=noise, dtype=torch.float64)
    w = w / w.flatten(1).norm(dim=1)[:, None, None, None]
    bounds = torch.where(w > 0, 1 - x, x)
    need = (w.abs() * bounds).flatten(1).sum(1) * torch.rand(count, generator=noise, dtype=torch.float64) * 0.9
    return x, w, need


def greedy(x: Tensor, w: Tensor, need: float) -> Tensor:
    """One coordinate after another, the largest |w| first, until the plane is reached (SparseFool, Algorithm 2)."""
    x, left = x.clone().flatten(), w.flatten().abs()
    start = x.clone()
    while (gap := need - float(w.flatten() @ (x - start))) > 1e-12 and left.any():
        d = int(left.argmax())
        x[d] = (x[d] + w.flatten()[d].sign() * gap / w.flatten()[d].abs()).clamp(0, 1)
        left[d] = 0
    return x.view_as(w)


def test_l1_by_one_sort_is_the_papers_greedy() -> None:
    x, w, need = problem(200, 3, 6, 5)
    moved, gained = cross_plane(x, w, need, torch.zeros_like(x), torch.ones_like(x), Solver.L1)
    slow = torch.stack([greedy(*one) for one in zip(x, w, need.tolist(), strict=True)])
    torch.testing.assert_close(moved, slow, rtol=0, atol=1e-9)
    torch.testing.assert_close(gained, need)


@pytest.mark.parametrize("solver", Solver)
def test_the_plane_is_met_and_bounds_are_kept(solver: Solver) -> None:
    x, w, need = problem(50, 3, 8, 8)
    lower, upper = (x - 0.4).clamp_min(0), (x + 0.4).clamp_max(1)
    moved, gained = cross_plane(x, w, need / 4, lower, upper, solver)
    assert (moved >= lower).all() and (moved <= upper).all()
    torch.testing.assert_close((w * (moved - x)).flatten(1).sum(1), gained)


def test_l0_takes_as_few_coordinates_as_any_choice_could() -> None:
    x, w, need = problem(100, 1, 2, 5)
    moved, _ = cross_plane(x, w, need, torch.zeros_like(x), torch.ones_like(x), Solver.L0)
    gain = (w.abs() * torch.where(w > 0, 1 - x, x)).flatten(1)  # (100, 10)
    for i in range(len(x)):
        choices = torch.tensor(list(product((0.0, 1.0), repeat=10)), dtype=torch.float64)
        enough = choices[choices @ gain[i] >= need[i] - 1e-12]
        assert (moved[i] != x[i]).sum() == enough.sum(1).min()


def test_pixel_takes_as_few_pixels_as_any_choice_could() -> None:
    x, w, need = problem(100, 3, 2, 5)
    moved, _ = cross_plane(x, w, need, torch.zeros_like(x), torch.ones_like(x), Solver.PIXEL)
    gain = (w.abs() * torch.where(w > 0, 1 - x, x)).sum(1).flatten(1)
    for i in range(len(x)):
        choices = torch.tensor(list(product((0.0, 1.0), repeat=10)), dtype=torch.float64)
        enough = choices[choices @ gain[i] >= need[i] - 1e-12]
        assert (moved[i] != x[i]).any(0).sum() == enough.sum(1).min()


@pytest.mark.parametrize("solver", Solver)
def test_without_room_it_says_how_far_it_got(solver: Solver) -> None:
    x, w, _ = problem(4, 3, 4, 4)
    _, gained = cross_plane(x, w, torch.full((4,), 1e6).double(), x - 0.01, x + 0.01, solver)
    torch.testing.assert_close(gained, 0.01 * w.abs().flatten(1).sum(1))
    moved, gained = cross_plane(x, w, torch.ones(4).double(), x, x, solver)
    assert torch.equal(moved, x) and not gained.any()
