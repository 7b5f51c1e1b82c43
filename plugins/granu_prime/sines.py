"""Sums of sines of consecutive frequencies at many points, by recurrence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def sine_sum(points: Tensor, coefficients: Tensor, first: Tensor, lengths: Tensor) -> Tensor:
    """Sum of c_j sin(pi k x) with k = first + j, for R rows of points at once (Clenshaw 1955).

    Shapes: `points` (R, N) in [0, 1], `coefficients` (R, J), `first` (R,) the lowest frequency, at least 1, `lengths`
    (R,) how many of a row's coefficients are used; result (R, N). Memory is that of a few tensors (R, N) and not of all
    J sines. A frequency costs two passes over those rows alone that have it, because rows are sorted by length.
    """
    order = lengths.argsort(descending=True, stable=True)
    theta = torch.pi * points[order]  # (R, N)
    coefficients, lowest = coefficients[order], first[order, None]
    # how many rows, at the front, have a coefficient j
    counts = (lengths[:, None] > torch.arange(coefficients.shape[1], device=lengths.device)).sum(dim=0).tolist()
    twice_cosine = theta.cos().mul_(2)
    later, latest = torch.zeros_like(theta), torch.zeros_like(theta)  # b_{j+1} and b_{j+2}
    for j in reversed(range(len(counts))):
        rows = slice(counts[j])
        b = torch.sub(coefficients[rows, j, None], latest[rows], out=latest[rows])
        b.addcmul_(twice_cosine[rows], later[rows])
        later, latest = latest, later
    total = later * torch.sin(lowest * theta) - latest * torch.sin((lowest - 1) * theta)
    return torch.empty_like(total).index_copy_(0, order, total)


def sine_products(points: Tensor, values: Tensor, count: int) -> Tensor:
    """Sums over points of values * sin(pi k x) for k = 1 to `count`: (R, N) and (R, N) to (R, count).

    The transpose of `sine_sum` as a map of coefficients, so its gradient.
    """
    theta = torch.pi * points
    twice_cosine = 2 * theta.cos()
    before, sine = torch.zeros_like(theta), theta.sin()
    products = []
    for _ in range(count):
        products.append((values * sine).sum(dim=1))
        before, sine = sine, torch.addcmul(-before, twice_cosine, sine)
    return torch.stack(products, dim=1)


class _SineSeries(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, coefficients: Tensor) -> Tensor:
        ctx.save_for_backward(points)
        ctx.count = coefficients.shape[1]
        one = torch.ones(len(points), dtype=torch.int64, device=points.device)
        return sine_sum(points, coefficients, one, one * ctx.count)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:  # type: ignore[override]
        (points,) = ctx.saved_tensors
        return None, sine_products(points, gradient, ctx.count)


def sine_series(points: Tensor, coefficients: Tensor) -> Tensor:
    """Sum of c_k sin(pi k x) with k from 1, differentiable with respect to the coefficients: (R, N), (R, K) to (R, N).

    Neither pass keeps a sine of every frequency.
    """
    return _SineSeries.apply(points, coefficients)
