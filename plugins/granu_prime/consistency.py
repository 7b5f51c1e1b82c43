"""Consistency of predictions across views of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def jensen_shannon(views: Sequence[Tensor]) -> Tensor:
    """Jensen-Shannon divergence of the predictions for several views of an image, mean over images, in nats.

    `views` are logits (B, K). The mean of the KL divergences of each view's probabilities from their average, which
    is clamped to [1e-7, 1] (Hendrycks et al. 2020, section 3).
    """
    logarithms = torch.stack([F.log_softmax(logits.float(), dim=1) for logits in views])  # (V, B, K)
    probabilities = logarithms.exp()
    average = probabilities.mean(dim=0).clamp(1e-7, 1).log()
    return (probabilities * (logarithms - average)).sum(dim=2).mean()
