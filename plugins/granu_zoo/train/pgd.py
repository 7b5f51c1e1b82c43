"""The attack that robust classifiers are trained against and checked with: the core's PGD on the training loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from granu import Criterion, PixelSpace, SearchState, projected_gradient_descent

__all__ = ["pgd", "robust_accuracy"]


def pgd(classifier: nn.Module, images: Tensor, labels: Tensor, norm: str, budget: float, steps: int) -> Tensor:
    """Images (B, C, H, W) in [0, 1], changed by at most `budget` in `norm` ("l2" or "linf") to raise the loss.

    The start is random inside the ball (torch's global generator); gradients are taken in the caller's autocast mode.
    """
    space = PixelSpace(classifier, images, norm)
    space.low_precision = torch.is_autocast_enabled(images.device.type)
    budgets = torch.full((len(images),), budget, device=images.device)
    noise = torch.randn_like(images) if norm == "l2" else torch.rand_like(images) * 2 - 1
    start = space.within((noise * budget).flatten(1), budgets)
    change = projected_gradient_descent(
        SearchState(space, Criterion(labels)), budgets, steps=steps, start=start, objective=negative_cross_entropy
    )
    return (images + change.view_as(images)).clamp(0, 1)


def negative_cross_entropy(logits: Tensor, criterion: Criterion) -> Tensor:
    """(B,) the training loss with its sign turned, since PGD descends."""
    return -F.cross_entropy(logits, criterion.labels, reduction="none")


def robust_accuracy(
    classifier: nn.Module, images: Tensor, labels: Tensor, norm: str, budget: float, steps: int = 40
) -> float:
    """Share of the images that stay correctly classified under `pgd`, with one random start."""
    right = 0
    for x, y in zip(images.split(250), labels.split(250), strict=True):
        with torch.no_grad():
            clean = classifier(x).argmax(dim=1) == y
        attacked = pgd(classifier, x, y, norm, budget, steps)
        with torch.no_grad():
            right += int((clean & (classifier(attacked).argmax(dim=1) == y)).sum())
    return right / len(labels)
