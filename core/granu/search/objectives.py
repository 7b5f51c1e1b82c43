"""Objectives that the runs of `search=worst` drive down: functions of logits (A, K) and the criterion, (A,) each."""

from __future__ import annotations

import torch
from torch import Tensor

from granu.types import Criterion


def margin(logits: Tensor, criterion: Criterion) -> Tensor:
    """The label's logit minus the largest other logit."""
    return criterion.objective(logits)


def cross_entropy(logits: Tensor, criterion: Criterion) -> Tensor:
    """The label's logit minus the log-sum-exp of the others: a decreasing function of the cross-entropy.

    Its gradient points where that of the cross-entropy does, and does not vanish where the label is certain.
    """
    others = logits.scatter(1, criterion.labels[:, None], -torch.inf)
    return _own(logits, criterion) - others.logsumexp(dim=1)


def logits_ratio(logits: Tensor, criterion: Criterion) -> Tensor:
    """The difference of logits ratio (Croce and Hein 2020, equation 6); with two classes the margin.

    The margin in units of the distance from the largest to the third largest logit, so that no scale of the logits
    hides progress.
    """
    if logits.shape[1] < 3:
        return criterion.objective(logits)
    leading = logits.topk(3, dim=1).values
    return criterion.objective(logits) / (leading[:, 0] - leading[:, 2]).clamp_min(1e-12)


def lead_over(logits: Tensor, criterion: Criterion, target: Tensor) -> Tensor:
    """The label's logit minus that of the class `target` (A,)."""
    return _own(logits, criterion) - logits.gather(1, target[:, None]).squeeze(1)


def _own(logits: Tensor, criterion: Criterion) -> Tensor:
    return logits.gather(1, criterion.labels[:, None]).squeeze(1)
