"""The paper's measure: distance to the boundary within each band by DeepFool, by default beyond the range of pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from granu.images.ops import clamp_for_descent
from granu.types import Criterion
from granu_frequency.bands import Band


@dataclass(frozen=True)
class Margins:
    """Distances of B images in S bands, and the passes through the classifier that they took; (B, S) each."""

    distance: Tensor  # L2 over pixels; infinite where the boundary was not reached
    forward: Tensor  # int64; the first pass of an image is shared by its bands and stands under the first of them
    backward: Tensor  # int64, likewise


def margins(
    classifier: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    bands: Sequence[Band],
    *,
    rivals: int = 9,
    steps: int = 100,
    batch: int = 256,
    box: bool = False,
) -> Margins:
    """How far `images` (B, C, H, W) are from being named other than `labels` (B,) within each band (section 3).

    `rivals` is how many classes, next in rank at the image, are walked towards; `batch` bounds how many walks,
    one for each image and band, are in memory together. With `box` images are clamped to [0, 1] on the way, so
    that a boundary counts only where an image can be; the distance is that of the change before clamping.
    """
    bands = [band.to(images) for band in bands]
    parts = [
        _walk(_boxed(classifier) if box else classifier, x, Criterion(y), bands, rivals, steps)
        for x, y in zip(*(t.split(max(1, batch // len(bands))) for t in (images, labels)), strict=True)
    ]
    distance, forward, backward = (torch.cat([part[i] for part in parts]) for i in range(3))
    return Margins(distance, forward, backward)


def _boxed(classifier: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda images: classifier(clamp_for_descent(images))


def _walk(
    classifier: Callable[[Tensor], Tensor],
    images: Tensor,
    criterion: Criterion,
    bands: Sequence[Band],
    rivals: int,
    steps: int,
    overshoot: float = 0.02,
    shortest: float = 1e-4,
) -> tuple[Tensor, Tensor, Tensor]:
    """DeepFool within bands. The Jacobian at the images is taken once, then each walk has its own.

    The distance is that of the overshot point, as in the authors' code. Walks without a usable gradient stop.
    """
    B, S = len(images), len(bands)
    image = torch.arange(B, device=images.device).repeat_interleave(S)  # of each walk
    band = torch.arange(S, device=images.device).repeat(B)
    r = images.new_zeros(B * S, *images.shape[1:])
    distance = images.new_full((B * S,), torch.inf)
    forward, backward = torch.zeros_like(image), torch.zeros_like(image)
    active = torch.arange(B * S, device=images.device)
    ranked = torch.empty(0)
    for n in range(steps + 1):
        if n == 0:
            z, of, looking = images.clone(), image, active[::S]
        else:
            z = images[image[active]] + (1 + overshoot) * r[active]
            of, looking = torch.arange(len(active), device=images.device), active
        z.requires_grad_()
        logits = classifier(z)
        label = criterion.labels[image[looking], None]
        if n == 0:
            others = logits.detach().scatter(1, label, -torch.inf)
            ranked = others.topk(min(rivals, others.shape[1] - 1), dim=1).indices  # (B, R)
        forward[looking] += 1
        crossed = criterion.select(image[looking]).reached(logits.detach())[of]
        distance[active[crossed]] = (1 + overshoot) * r[active[crossed]].flatten(1).norm(dim=1)
        if crossed.all():
            break

        lead = logits.gather(1, ranked[image[looking]]) - logits.gather(1, label)  # (., R)
        backward[looking] += lead.shape[1]
        step, unit = _nearest_plane(lead, z, of, bands, band[active])
        on = ~crossed & step.isfinite()
        active = active[on]
        if len(active) == 0:
            break
        r[active] += step[on].clamp_min(shortest)[:, None, None, None] * unit[on]
    return distance.view(B, S), forward.view(B, S), backward.view(B, S)


def _nearest_plane(lead: Tensor, z: Tensor, of: Tensor, bands: Sequence[Band], band: Tensor) -> tuple[Tensor, Tensor]:
    """Per walk (a,): distance within its band to the nearest of the planes lead = 0, and the unit way there.

    `of` (a,) says which row of `z` and `lead` a walk stands at. Without a usable gradient the distance is infinite.
    """
    nearest = torch.full_like(of, torch.inf, dtype=z.dtype)
    unit = z.new_zeros(len(of), *z.shape[1:])
    for k in range(lead.shape[1]):
        (gradient,) = torch.autograd.grad(lead[:, k].sum(), z, retain_graph=k + 1 < lead.shape[1])
        w = torch.empty_like(unit)
        for s, one in enumerate(bands):
            w[band == s] = one.project(gradient[of[band == s]])
        length = w.flatten(1).norm(dim=1)
        distance = lead[of, k].detach().abs() / length
        closer = (length > 0) & (distance < nearest)
        nearest = torch.where(closer, distance, nearest)
        unit = torch.where(closer[:, None, None, None], w / length[:, None, None, None], unit)
    return nearest, unit
