"""Where the nearest decision boundary lies: DeepFool in L2, batched, with the label pinned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from granu.types import Criterion
from granu_sparse_pixel.failure import FailureReason
from granu_sparse_pixel.passes import Passes


@dataclass(frozen=True)
class Boundary:
    """A plane per image, or a failure; where there is a failure the rest has no meaning."""

    step: Tensor  # (b, C, H, W) r: from the image to the plane
    normal: Tensor  # (b, C, H, W) w: of length 1 in L2, pointing away from the label
    failure: Tensor  # (b,) int64, a FailureReason each


def nearest_boundary(
    passes: Passes,
    x: Tensor,
    criterion: Criterion,
    rows: Tensor,
    *,
    mask: Tensor,
    rivals: int,
    overshoot: float = 0.02,
    steps: int = 50,
    shortest: float = 1e-4,
) -> Boundary:
    """The boundary next to `x` (b, C, H, W), linearised where the walk crosses it (SparseFool, section 3.2).

    `rows` (b,) say where the images stand in the batch that `passes` counts; `mask` (b, C, H, W) is 1 where a
    image may change and 0 elsewhere; the boundaries with the `rivals` classes next in rank at `x` are compared.

    Where we differ from the authors' code: the label is the criterion's and not whatever `x` is called by now, so a
    walk never starts for home. Rivals are compared once, at `x`, and the nearest is then followed, at a third of
    the backward passes. Logits and gradient are both taken at the overshot point, at half the forward passes.
    """
    r, w = torch.zeros_like(x), torch.zeros_like(x)
    failure = torch.full_like(criterion.labels, FailureReason.NOT_REACHED)
    rival = torch.zeros_like(criterion.labels)
    active = torch.arange(len(x), device=x.device)
    for n in range(steps + 1):
        z = (x[active] + (1 + overshoot) * r[active]).requires_grad_()
        logits = passes.logits(z, rows[active])  # (b, K)
        label = criterion.labels[active, None]
        others = logits.detach().scatter(1, label, -torch.inf)
        crossed = criterion.select(active).reached(logits.detach())
        if n == 0:
            ranked = others.topk(min(rivals, others.shape[1] - 1), dim=1).indices  # (b, R)
        else:
            # past the boundary, the class found there is the one whose normal is wanted
            ranked = torch.where(crossed, others.argmax(dim=1), rival[active])[:, None]
        lead = logits.gather(1, ranked) - logits.gather(1, label) - criterion.margin
        plane = _nearest_plane(passes, lead, z, rows[active], mask[active])

        rival[active] = ranked.gather(1, plane.which[:, None]).squeeze(1)
        sound = plane.failure == FailureReason.NONE
        failure[active[~sound]] = plane.failure[~sound]
        failure[active[sound & crossed]] = FailureReason.NONE
        w[active] = plane.normal
        on = sound & ~crossed
        active = active[on]
        if len(active) == 0:
            break
        r[active] += plane.distance[on].clamp_min(shortest)[:, None, None, None] * plane.normal[on]
    return Boundary(r, w, failure)


@dataclass
class _Plane:
    distance: Tensor  # (b,)
    normal: Tensor  # (b, C, H, W)
    which: Tensor  # (b,)
    failure: Tensor  # (b,)


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
    plane.failure[plane.distance.isinf()] = FailureReason.ZERO_GRADIENT
    plane.failure[broken] = FailureReason.NOT_FINITE
    return plane


def _wide(per_image: Tensor) -> Tensor:
    return per_image[:, None, None, None]
