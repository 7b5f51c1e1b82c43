"""Every pass through the classifier, counted image by image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Passes:
    """A classifier that keeps count, for each image of a batch, of how often it went forward and backward.

    Every call names the `rows` (b,) of the batch that its images belong to; a row may stand there twice.
    """

    def __init__(self, classifier: Callable[[Tensor], Tensor], batch: int, device: torch.device) -> None:
        self._classifier = classifier
        self.forward = torch.zeros(batch, dtype=torch.int64, device=device)
        self.backward = torch.zeros(batch, dtype=torch.int64, device=device)

    def logits(self, images: Tensor, rows: Tensor) -> Tensor:
        """(b, C, H, W) to (b, K); differentiable where `images` asks for gradients."""
        self.forward.index_add_(0, rows, torch.ones_like(rows))
        return self._classifier(images)

    def gradient(self, scores: Tensor, images: Tensor, rows: Tensor, *, again: bool = False) -> Tensor:
        """Gradient (b, C, H, W) of each image's score (b,); `again` keeps the graph for a next one."""
        self.backward.index_add_(0, rows, torch.ones_like(rows))
        return torch.autograd.grad(scores.sum(), images, retain_graph=again)[0]
