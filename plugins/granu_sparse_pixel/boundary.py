"""Where the nearest decision boundary lies: DeepFool in L2, batched, with the label pinned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from granu.types import Goal
from granu_sparse_pixel.passes import Passes
from granu_sparse_pixel.trouble import Trouble


@dataclass(frozen=True)
class Boundary:
    """A plane per picture, or a trouble; where there is a trouble the rest has no meaning."""

    step: Tensor  # (b, C, H, W) r: from the picture to the plane
    normal: Tensor  # (b, C, H, W) w: of length 1 in L2, pointing away from the label
    trouble: Tensor  # (b,) int64, a Trouble each


def nearest_boundary(
    passes: Passes,
    x: Tensor,
    goal: Goal,
    rows: Tensor,
    *,
    mask: Tensor,
    rivals: int,
    overshoot: float = 0.02,
    steps: int = 50,
    shortest: float = 1e-4,
) -> Boundary:
    """The boundary next to `x` (b, C, H, W), linearised where the walk crosses it (SparseFool, section 3.2).

    `rows` (b,) say where the pictures stand in the batch that `passes` counts; `mask` (b, C, H, W) is 1 where a
    picture may change and 0 elsewhere; the boundaries with the `rivals` classes next in rank at `x` are compared.

    Where we differ from the authors' code: the label is the goal's and not whatever `x` is called by now, so a
    walk never starts for home. Rivals are compared once, at `x`, and the nearest is then followed, at a third of
    the backward passes. Logits and gradient are both taken at the overshot point, at half the forward passes.
    """
    r, w = torch.zeros_like(x), torch.zeros_like(x)
    trouble = torch.full_like(goal.labels, Trouble.NOT_REACHED)
    rival = torch.zeros_like(goal.labels)
    active = torch.arange(len(x), device=x.device)
    for n in range(steps + 1):
        z = (x[active] + (1 + overshoot) * r[active]).requires_grad_()
        logits = passes.logits(z, rows[active])  # (b, K)
        label = goal.labels[active, None]
        others = logits.detach().scatter(1, label, -torch.inf)
        crossed = goal.select(active).reached(logits.detach())
        if n == 0:
            ranked = others.topk(min(rivals, others.shape[1] - 1), dim=1).indices  # (b, R)
        else:
            # past the boundary, the class found there is the one whose normal is wanted
            ranked = torch.where(crossed, others.argmax(dim=1), rival[active])[:, None]
        lead = logits.gather(1, ranked) - logits.gather(1, label) - goal.margin
        plane = _nearest_plane(passes, lead, z, rows[active], mask[active])

        rival[active] = ranked.gather(1, plane.which[:, None]).squeeze(1)
        sound = plane.trouble == Trouble.NONE
        trouble[active[~sound]] = plane.trouble[~sound]
        trouble[active[sound & crossed]] = Trouble.NONE
        w[active] = plane.normal
        on = sound & ~crossed
        active = active[on]
        if len(active) == 0:
            break
        r[active] += plane.distance[on].clamp_min(shortest)[:, None, None, None] * plane.normal[on]
    return Boundary(r, w, trouble)


@dataclass
class _Plane:
    distance: Tensor  # (b,)
    normal: Tensor  # (b, C, H, W)
    which: Tensor  # (b,)
    trouble: Tensor  # (b,)


def _nearest_plane(passes: Passes, lead: Tensor, z: Tensor, rows: Tensor, mask: Tensor) -> _Plane:
    """The nearest of the planes lead = 0, (b, R), one backward pass each; never more than two gradients in memory."""
    zero = torch.zeros_like(rows)
    plane = _Plane(torch.full_like(lead[:, 0].detach(), torch.inf), torch.zeros_like(z), zero, zero.clone())
    broken = torch.zeros_like(rows, dtype=torch.bool)
    for k in range(lead.shape[1]):
        w = passes.gradient(lead[:, k], z, rows, again=k + 1 < lead.shape[1]) * mask
        length = w.flatten(1).norm(dim=1)
        distance = lead[:, k].detach().abs() / length
        broken |= ~length.isfinite() | ~lead[:, k].detach().isfinite()
        closer = (length > 0) & (distance < plane.distance)
        plane.distance = torch.where(closer, distance, plane.distance)
        plane.normal = torch.where(_wide(closer), w / _wide(length), plane.normal)
        plane.which = torch.where(closer, k, plane.which)
    plane.trouble[plane.distance.isinf()] = Trouble.ZERO_GRADIENT
    plane.trouble[broken] = Trouble.NOT_FINITE
    return plane


def _wide(per_picture: Tensor) -> Tensor:
    return per_picture[:, None, None, None]
