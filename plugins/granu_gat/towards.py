"""The goal of the paper's untargeted attack: the class that seemed least likely before."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from granu import Criterion


@dataclass(frozen=True)
class TowardsClass(Criterion):
    """A criterion that is reached as usual, when another class leads, and that knows where the attack descends to."""

    targets: Tensor | None = None  # (B,) int64

    def select(self, index: Tensor) -> TowardsClass:
        assert self.targets is not None
        return TowardsClass(self.labels[index], self.margin, self.targets[index])


def towards_least_likely(logits: Tensor, labels: Tensor) -> TowardsClass:
    """Towards the class of the smallest logit (B, K) other than the label (B,)."""
    others = logits.scatter(1, labels[:, None], float("inf"))
    return TowardsClass(labels, targets=others.argmin(dim=1))


def cross_entropy_of_target(logits: Tensor, criterion: Criterion) -> Tensor:
    """(B,) what the attack drives down."""
    assert isinstance(criterion, TowardsClass) and criterion.targets is not None
    return F.cross_entropy(logits, criterion.targets, reduction="none")
