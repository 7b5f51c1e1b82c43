"""What a search has found for each image of a batch, and which images it still works on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from granu.types import Criterion, Space


@dataclass
class SearchState:
    """The best change of every image so far; `active` numbers the images that are not yet done."""

    change: Tensor  # (B, D)
    size: Tensor  # (B,), infinite where nothing is found
    tried: Tensor  # (B,)
    forward: Tensor  # (B,) int64
    backward: Tensor  # (B,) int64
    notes: list[str | None]
    active: Tensor  # (A,) int64

    @classmethod
    def start(cls, space: Space) -> SearchState:
        """An empty state for a space's images."""
        change = space.start()
        zeros = torch.zeros(len(change), device=change.device)
        counts = zeros.long()
        everyone = torch.arange(len(change), device=change.device)
        nothing: list[str | None] = [None] * len(change)
        return cls(change, zeros + torch.inf, zeros.clone(), counts, counts.clone(), nothing, everyone)

    @property
    def found(self) -> Tensor:
        """(B,) whether anything is found."""
        return self.size.isfinite()

    def count(self, forward: int = 0, backward: int = 0) -> None:
        """Add passes to the images still at work."""
        self.forward[self.active] += forward
        self.backward[self.active] += backward

    def enter(self, change: Tensor, size: Tensor, reached: Tensor) -> None:
        """Note the sizes tried by the active images, and keep what reached the criterion and is smaller."""
        self.tried[self.active] = self.tried[self.active].maximum(size)
        better = reached & (size < self.size[self.active])
        where = self.active[better]
        self.change[where] = change[better].detach()
        self.size[where] = size[better]

    def fail(self, which: Tensor, reason: str) -> None:
        """Mark active images (A,) as failed, unless something was found for them before."""
        for image in self.active[which].tolist():
            if not self.found[image]:
                self.notes[image] = reason

    def keep(self, going: Tensor) -> Tensor:
        """Let the others leave; gives the positions (within the active) of those that go on."""
        index = going.nonzero().squeeze(1)
        self.active = self.active[index]
        return index


def objective_and_gradient(space: Space, change: Tensor, criterion: Criterion) -> tuple[Tensor, Tensor]:
    """The criterion's objective (A,) at a change and its gradient (A, D)."""
    change = change.detach().requires_grad_()
    objective = criterion.objective(space.logits(change))
    (gradient,) = torch.autograd.grad(objective.sum(), change)
    return objective.detach(), gradient


def unusable(gradient: Tensor) -> Tensor:
    """(A,) whether a gradient is zero or not finite, so that it leads nowhere."""
    return ~gradient.isfinite().all(dim=1) | (gradient == 0).all(dim=1)


NO_GRADIENT = "the gradient is zero or not finite; the classifier may mask it"


def judged(space: Space, change: Tensor, criterion: Criterion) -> Tensor:
    """(A,) whether the criterion is reached by the changed images as a PNG would hold them."""
    with torch.no_grad():
        return criterion.reached(space.judged_logits(change))
