"""The divergence in the loss of TRADES (Zhang et al. 2019, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from granu import Criterion


def divergence(clean: Tensor, changed: Tensor) -> Tensor:
    """KL(clean || changed) of the classes' probabilities, (B,), from logits (B, K); differentiable in both."""
    return F.kl_div(changed.log_softmax(dim=1), clean.log_softmax(dim=1), reduction="none", log_target=True).sum(dim=1)


def divergence_from(clean: Tensor) -> Callable[[Tensor, Criterion], Tensor]:
    """The objective of an attack that maximises the divergence from `clean` (B, K), with its sign turned."""

    def objective(logits: Tensor, criterion: Criterion) -> Tensor:
        return -divergence(clean, logits)

    return objective
