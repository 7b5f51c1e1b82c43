"""Projected gradient descent in pixels (Madry et al. 2018), to train the robust classifiers and to check them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["pgd", "robust_accuracy"]


def pgd(classifier: nn.Module, images: Tensor, labels: Tensor, norm: str, budget: float, steps: int) -> Tensor:
    """Images (B, C, H, W) in [0, 1], changed by at most `budget` in `norm` ("l2" or "linf") to raise the loss.

    The start is random inside the ball; the step is 2.5 budget / steps, so that every corner can be reached.
    """
    step = 2.5 * budget / steps
    start = torch.randn_like(images) if norm == "l2" else torch.rand_like(images) * 2 - 1
    changed = (images + project(start * budget, norm, budget)).clamp(0, 1)
    for _ in range(steps):
        changed.requires_grad_()
        loss = F.cross_entropy(classifier(changed).float(), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, changed)
        uphill = slope.sign() if norm == "linf" else slope / lengths(slope).clamp(min=1e-12)
        delta = project(changed.detach() + step * uphill - images, norm, budget)
        changed = (images + delta).clamp(0, 1)
    return changed


def robust_accuracy(
    classifier: nn.Module, images: Tensor, labels: Tensor, norm: str, budget: float, steps: int = 40
) -> float:
    """Share of the images that stay right under `pgd`, with one random start."""
    right = 0
    for x, y in zip(images.split(250), labels.split(250), strict=True):
        with torch.no_grad():
            clean = classifier(x).argmax(dim=1) == y
        attacked = pgd(classifier, x, y, norm, budget, steps)
        with torch.no_grad():
            right += int((clean & (classifier(attacked).argmax(dim=1) == y)).sum())
    return right / len(labels)


def project(delta: Tensor, norm: str, budget: float) -> Tensor:
    if norm == "linf":
        return delta.clamp(-budget, budget)
    return delta * (budget / lengths(delta).clamp(min=budget))


def lengths(x: Tensor) -> Tensor:
    """Euclidean length of each image, (B, 1, 1, 1)."""
    return x.flatten(1).norm(dim=1)[:, None, None, None]
