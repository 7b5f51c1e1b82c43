"""SparseFool: walk to a boundary, cross its plane with few changes, look, and repeat (Modas et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from granu.pictures import as_png
from granu.types import Goal
from granu_sparse_pixel.boundary import nearest_boundary
from granu_sparse_pixel.counted import count_changes
from granu_sparse_pixel.passes import Passes
from granu_sparse_pixel.room import Room
from granu_sparse_pixel.solver import Solver, cross_plane
from granu_sparse_pixel.trouble import Trouble

GROWTH = 1.5  # of lambda, where a loop came no nearer
NEARER = 0.8  # of the lead that the label had before
NARROWER = (1.0, 1 / 2, 1 / 8)  # of the room, one after another, where nothing was found
SETTLED = (Trouble.NONE, Trouble.ZERO_GRADIENT, Trouble.NOT_FINITE)  # where another search is of no use


@dataclass(frozen=True)
class Found:
    """What the search came back with; the clean picture where there is a trouble."""

    pictures: Tensor  # (B, C, H, W) in [0, 1] and on the 8-bit grid
    normal: Tensor  # (B, C, H, W) of the boundary that was crossed last
    trouble: Tensor  # (B,) int64, a Trouble each
    looked: Tensor  # (B,) int64: pixels that were changed in the largest picture looked at

    def enter(self, rows: Tensor, later: Found, *, first: bool) -> None:
        """Take over what a search came back with for some pictures; a trouble only if it is the first one's."""
        self.looked[rows] = self.looked[rows].maximum(later.looked)
        news = (later.trouble == Trouble.NONE) | first
        rows = rows[news]
        self.pictures[rows], self.normal[rows] = later.pictures[news], later.normal[news]
        self.trouble[rows] = later.trouble[news]


def sparsefool(
    passes: Passes,
    clean: Tensor,
    goal: Goal,
    room: Room,
    *,
    solver: Solver,
    lambda_: float,
    rivals: int,
    loops: int = 20,
    overshoot: float = 0.02,
) -> Found:
    """Change few elements of each 8-bit picture `clean` (B, C, H, W) so that `goal` is reached (Algorithm 1).

    `lambda_` is how far behind the boundary the plane is placed, in steps to the boundary: near 1 gives fewer
    changes in more loops. A picture is looked at as an 8-bit file would hold it, and leaves the batch when it is
    found or in trouble, so that passes go where they are needed.

    Where we differ from the paper: lambda grows by half after a loop that came hardly nearer, because with a fixed
    one some pictures go back and forth before the boundary until their loops are spent. What is not found is
    searched again with elements that may move only part of their way, where a plane tells more of the classifier.
    """
    everyone = torch.arange(len(clean), device=clean.device)
    nowhere = torch.zeros_like(goal.labels)
    found = Found(clean.clone(), torch.zeros_like(clean), nowhere + Trouble.LOOPS_SPENT, nowhere.clone())
    attempt = partial(_attempt, passes, solver=solver, lambda_=lambda_, rivals=rivals, loops=loops, overshoot=overshoot)
    for share in NARROWER:
        rows = everyone[~torch.isin(found.trouble, torch.tensor(SETTLED, device=clean.device))]
        if len(rows):
            space = room.select(rows).narrower(clean[rows], share)
            found.enter(rows, attempt(clean[rows], goal.select(rows), rows, space), first=share == 1)
    return found


def _attempt(
    passes: Passes,
    clean: Tensor,
    goal: Goal,
    rows: Tensor,
    room: Room,
    *,
    solver: Solver,
    lambda_: float,
    rivals: int,
    loops: int,
    overshoot: float,
) -> Found:
    """One search within `room` of pictures that stand at `rows` of the batch that `passes` counts."""
    x, pictures, normal = clean.clone(), clean.clone(), torch.zeros_like(clean)
    trouble, looked = torch.full_like(goal.labels, Trouble.LOOPS_SPENT), torch.zeros_like(goal.labels)
    everyone = torch.arange(len(clean), device=clean.device)
    with torch.no_grad():
        wrong = goal.reached(passes.logits(clean, rows))  # to begin with: then no change is the smallest
    trouble[wrong] = Trouble.NONE
    active = everyone[~wrong]
    further = torch.full(goal.labels.shape, float(lambda_), device=clean.device)
    lead = torch.full_like(further, torch.inf)  # of the label, after the loop before
    for _ in range(loops):
        if len(active) == 0:
            break
        here = room.select(active)
        boundary = nearest_boundary(passes, x[active], goal.select(active), rows[active], mask=here.mask, rivals=rivals)
        w = boundary.normal
        reach = (w * boundary.step).flatten(1).sum(dim=1)  # how far the boundary is along its own normal
        # at least one 8-bit step of one element, or rounding could undo the whole move
        least = w.flatten(1).abs().amax(dim=1) / 255
        moved, gained = cross_plane(x[active], w, further[active] * reach + least, here.lower, here.upper, solver)
        state = boundary.trouble
        state[(state == Trouble.NONE) & (reach < 0)] = Trouble.WRONG_SIDE
        state[(state == Trouble.NONE) & (gained < reach)] = Trouble.NO_ROOM

        on = state == Trouble.NONE
        trouble[active[~on]] = state[~on]
        active, here = active[on], here.select(on)
        if len(active) == 0:
            break
        x[active], normal[active] = moved[on], w[on]
        overshot = clean[active] + (1 + overshoot) * (x[active] - clean[active])
        changed = as_png(overshot.clamp(here.lower, here.upper))
        looked[active] = looked[active].maximum(count_changes(changed, clean[active], pixels=True))
        with torch.no_grad():
            left = goal.select(active).objective(passes.logits(changed, rows[active])) + goal.margin
        further[active] *= torch.where(left > NEARER * lead[active], GROWTH, 1.0)
        lead[active], reached = left, left < 0
        pictures[active[reached]] = changed[reached]
        trouble[active[reached]] = Trouble.NONE
        active = active[~reached]
    return Found(pictures, normal, trouble, looked)
