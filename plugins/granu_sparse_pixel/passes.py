"""Passes through the classifier, counted image by image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Passes:
    """A classifier with the number of forward and gradient passes of each image of a batch.

    Every call names the `rows` (b,) of the batch that its images belong to; a row may occur twice.
    """

    def __init__(self, classifier: Callable[[Tensor], Tensor], batch: int, device: torch.device) -> None:
        self.classifier = classifier
        self.forward = torch.zeros(batch, dtype=torch.int64, device=device)
        self.backward = torch.zeros(batch, dtype=torch.int64, device=device)

    def logits(self, images: Tensor, rows: Tensor) -> Tensor:
        """(b, C, H, W) to (b, K); differentiable where `images` requires gradients."""
        self.forward.index_add_(0, rows, torch.ones_like(rows))
        return self.classifier(images)

    def gradient(self, scores: Tensor, images: Tensor, rows: Tensor) -> Tensor:
        """Gradient (b, C, H, W) of each image's score (b,)."""
        self.backward.index_add_(0, rows, torch.ones_like(rows))
        return torch.autograd.grad(scores.sum(), images)[0]

    def add(self, rows: Tensor, forward: Tensor, backward: Tensor) -> None:
        """Add passes (b,) that were counted elsewhere."""
        self.forward.index_add_(0, rows, forward)
        self.backward.index_add_(0, rows, backward)
