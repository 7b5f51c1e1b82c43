"""SparseFool: find a boundary, cross its plane with few changes, classify, and repeat (Modas et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from granu import Criterion, quantize
from granu_sparse_pixel.boundary import nearest_boundary
from granu_sparse_pixel.bounds import PixelBounds
from granu_sparse_pixel.counted import count_changes
from granu_sparse_pixel.failure import FailureReason
from granu_sparse_pixel.passes import Passes
from granu_sparse_pixel.solver import Solver, cross_plane

GROWTH = 1.5  # of lambda, where a loop came no nearer
NEARER = 0.8  # of the label's lead before the loop
NARROWER = (1.0, 1 / 2, 1 / 8)  # of the bounds, one after another, where nothing was found
SETTLED = (
    FailureReason.NONE,
    FailureReason.ZERO_GRADIENT,
    FailureReason.NOT_FINITE,
)  # where another attempt cannot help


@dataclass(frozen=True)
class Found:
    """Result of the search; the clean image where there is a failure."""

    images: Tensor  # (B, C, H, W) in [0, 1] and on the 8-bit grid
    normal: Tensor  # (B, C, H, W) of the boundary that was crossed last
    failure: Tensor  # (B,) int64, a FailureReason each
    tried: Tensor  # (B,) int64: the largest number of changed pixels in an image that was classified

    def update(self, rows: Tensor, later: Found, *, first: bool) -> None:
        """Take over the result of an attempt at some images; a failure only if it is the first attempt's."""
        self.tried[rows] = self.tried[rows].maximum(later.tried)
        news = (later.failure == FailureReason.NONE) | first
        rows = rows[news]
        self.images[rows], self.normal[rows] = later.images[news], later.normal[news]
        self.failure[rows] = later.failure[news]


def sparsefool(
    passes: Passes,
    clean: Tensor,
    criterion: Criterion,
    bounds: PixelBounds,
    *,
    solver: Solver,
    lambda_: float,
    classes: int,
    loops: int = 20,
    overshoot: float = 0.02,
) -> Found:
    """Change few elements of each 8-bit image `clean` (B, C, H, W) so that `criterion` is reached (Algorithm 1).

    `lambda_` is how far behind the boundary the plane is placed, in steps to the boundary: near 1 gives fewer changes
    in more loops. Images are classified as 8-bit files hold them, and leave the batch when a change is found or the
    search has failed.

    Differences from the paper: lambda grows by half after a loop that came hardly nearer, because with a fixed one some
    images oscillate before the boundary until their loops are spent. What is not found is searched again with smaller
    bounds, within which a plane approximates the classifier better.
    """
    everyone = torch.arange(len(clean), device=clean.device)
    nowhere = torch.zeros_like(criterion.labels)
    found = Found(clean.clone(), torch.zeros_like(clean), nowhere + FailureReason.LOOPS_SPENT, nowhere.clone())
    attempt = partial(
        _attempt, passes, solver=solver, lambda_=lambda_, classes=classes, loops=loops, overshoot=overshoot
    )
    for share in NARROWER:
        rows = everyone[~torch.isin(found.failure, torch.tensor(SETTLED, device=clean.device))]
        if len(rows):
            space = bounds.select(rows).narrower(clean[rows], share)
            found.update(rows, attempt(clean[rows], criterion.select(rows), rows, space), first=share == 1)
    return found


def _attempt(
    passes: Passes,
    clean: Tensor,
    criterion: Criterion,
    rows: Tensor,
    bounds: PixelBounds,
    *,
    solver: Solver,
    lambda_: float,
    classes: int,
    loops: int,
    overshoot: float,
) -> Found:
    """One search within `bounds`; `rows` (b,) are the images' rows in the batch that `passes` counts."""
    x, images, normal = clean.clone(), clean.clone(), torch.zeros_like(clean)
    failure, tried = torch.full_like(criterion.labels, FailureReason.LOOPS_SPENT), torch.zeros_like(criterion.labels)
    everyone = torch.arange(len(clean), device=clean.device)
    with torch.no_grad():
        wrong = criterion.reached(passes.logits(clean, rows))  # at once: the zero change is the smallest
    failure[wrong] = FailureReason.NONE
    active = everyone[~wrong]
    further = torch.full(criterion.labels.shape, float(lambda_), device=clean.device)
    lead = torch.full_like(further, torch.inf)  # of the label, after the loop before
    for _ in range(loops):
        if len(active) == 0:
            break
        here = bounds.select(active)
        boundary = nearest_boundary(
            passes, x[active], criterion.select(active), rows[active], mask=here.mask, classes=classes
        )
        w = boundary.normal
        distance = (w * boundary.step).flatten(1).sum(dim=1)  # to the boundary along its own normal
        # at least one 8-bit step of one element, or rounding could undo the whole move
        least = w.flatten(1).abs().amax(dim=1) / 255
        moved, gained = cross_plane(x[active], w, further[active] * distance + least, here.lower, here.upper, solver)
        state = boundary.failure
        state[(state == FailureReason.NONE) & (distance < 0)] = FailureReason.WRONG_SIDE
        state[(state == FailureReason.NONE) & (gained < distance)] = FailureReason.OUT_OF_BOUNDS

        on = state == FailureReason.NONE
        failure[active[~on]] = state[~on]
        active, here = active[on], here.select(on)
        if len(active) == 0:
            break
        x[active], normal[active] = moved[on], w[on]
        overshot = clean[active] + (1 + overshoot) * (x[active] - clean[active])
        changed = quantize(overshot.clamp(here.lower, here.upper))
        tried[active] = tried[active].maximum(count_changes(changed, clean[active], pixels=True))
        with torch.no_grad():
            left = criterion.select(active).objective(passes.logits(changed, rows[active])) + criterion.margin
        further[active] *= torch.where(left > NEARER * lead[active], GROWTH, 1.0)
        lead[active], reached = left, left < 0
        images[active[reached]] = changed[reached]
        failure[active[reached]] = FailureReason.NONE
        active = active[~reached]
    return Found(images, normal, failure, tried)
