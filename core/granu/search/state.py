"""State of a search: the best change of each image so far, and everything that belongs to the images still searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace

import torch
from torch import Tensor

from granu.errors import OptionError
from granu.search.result import SearchResult
from granu.streams import Streams
from granu.types import Criterion, Space

NO_GRADIENT = "the gradient is zero or not finite; the classifier may mask it"

Objective = Callable[[Tensor, Criterion], Tensor]
"""From logits (A, K) and the criterion to what a search drives down, (A,)."""


class SearchState:
    """Results of all B images of a batch, and the A of them that are active, i.e. still searched.

    `space`, `criterion`, `streams` and the tensors in `working` (A, ...) are those of the active images; `narrow`
    reduces all of them together. `change` to `notes` belong to all images, and `active` says which rows are active.
    """

    def __init__(self, space: Space, criterion: Criterion, streams: Streams | None = None) -> None:
        self._everything = space, criterion, streams
        self.space, self.criterion, self.streams = space, criterion, streams
        self.change = space.start()  # (B, D)
        count, device = len(self.change), self.change.device
        self.size = torch.full((count,), torch.inf, device=device)  # infinite where nothing is found
        self.tried = torch.zeros(count, device=device)  # the largest size tried
        self.forward = torch.zeros(count, dtype=torch.int64, device=device)
        self.backward = torch.zeros_like(self.forward)
        self.notes: list[str | None] = [None] * count
        self.active = torch.arange(count, device=device)  # (A,) int64
        self.working = SimpleNamespace()  # an algorithm's own tensors, (A, ...) each

    @property
    def found(self) -> Tensor:
        """(B,) bool, true where a change is found."""
        return self.size.isfinite()

    @property
    def best(self) -> Tensor:
        """(A,) the smallest size found for each active image, infinite where nothing is found."""
        return self.size[self.active]

    def activate(self, which: Tensor, **working: Tensor) -> None:
        """Continue with the images `which` (B,) bool, and with their rows of the `working` tensors (B, ...)."""
        space, criterion, streams = self._everything
        self.active = torch.arange(len(which), device=which.device)
        self.space, self.criterion, self.streams = space, criterion, streams
        self.working = SimpleNamespace(**working)
        self.narrow(which)

    def narrow(self, going: Tensor) -> None:
        """Keep only the active images `going` (A,) bool: their space, criterion, streams and working tensors."""
        if going.all():
            return
        index = going.nonzero().squeeze(1)
        self.active = self.active[index]
        self.space, self.criterion = self.space.select(index), self.criterion.select(index)
        self.streams = self.streams and self.streams.select(index)
        for name, tensor in vars(self.working).items():
            setattr(self.working, name, tensor[index])

    def update(self, change: Tensor, size: Tensor, reached: Tensor) -> None:
        """Record the sizes (A,) tried, and keep each change (A, D) that reached the criterion and is the smallest."""
        self.tried[self.active] = self.tried[self.active].maximum(size)
        better = reached & (size < self.best)
        where = self.active[better]
        self.change[where] = change[better].detach()
        self.size[where] = size[better]

    def mark_failed(self, which: Tensor, reason: str) -> None:
        """Note the reason for the active images `which` (A,) bool, unless a change was found for them before."""
        for image in self.active[which].tolist():
            if not self.found[image]:
                self.notes[image] = reason

    def count(self, forward: int | Tensor = 0, backward: int | Tensor = 0) -> None:
        """Add passes to the active images."""
        self.forward[self.active] += forward
        self.backward[self.active] += backward

    def require_gradient(self) -> None:
        """OptionError where no gradient reaches the changes of the space."""
        if not self.space.differentiable:
            raise OptionError(
                "changes of this perturbation have no gradient; use search=smallest, worst, pgd or random"
            )

    def gradient(self, change: Tensor, objective: Objective | None = None) -> tuple[Tensor, Tensor]:
        """The objective (A,) at a change (A, D), by default the criterion's, and its gradient (A, D)."""
        return self.differentiate(change, objective)[:2]

    def differentiate(self, change: Tensor, objective: Objective | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """As `gradient`, and the logits (A, K) there."""
        self.require_gradient()
        self.count(forward=1, backward=1)
        change = change.detach().requires_grad_()
        logits = self.logits(change)
        value = self.criterion.objective(logits) if objective is None else objective(logits, self.criterion)
        (gradient,) = torch.autograd.grad(value.sum(), change)
        return value.detach(), gradient, logits.detach()

    def logits(self, change: Tensor) -> Tensor:
        """The logits (A, K) that the criterion is about, as gradient passes see them; nothing is counted."""
        return self.criterion.joint_logits(self.space.logits(change))

    def judged_logits(self, change: Tensor) -> Tensor:
        """The same for a change as the core will judge it."""
        return self.criterion.joint_logits(self.space.judged_logits(change))

    def judge(self, change: Tensor, which: Tensor | None = None) -> Tensor:
        """(A,) bool: whether the evidence of a change (A, D) reaches the criterion, as the core will judge it.

        With `which` (A,) bool only those images are judged, and false stands for the others.
        """
        if which is None:
            self.count(forward=1)
            with torch.no_grad():
                return self.criterion.reached(self.judged_logits(change))
        reached, index = torch.zeros_like(which), which.nonzero().squeeze(1)
        if len(index):
            self.count(forward=which.long())
            with torch.no_grad():
                logits = self.space.select(index).judged_logits(change[index])
            criterion = self.criterion.select(index)
            reached[index] = criterion.reached(criterion.joint_logits(logits))
        return reached

    def result(self, extra: Mapping[str, Tensor] | None = None) -> SearchResult:
        """The results of all images."""
        return SearchResult(
            self.change, self.size, self.tried, self.forward, self.backward, tuple(self.notes), extra or {}
        )


def unusable(gradient: Tensor) -> Tensor:
    """(A,) bool: gradients (A, D) that are zero or not finite, and give no direction."""
    return ~gradient.isfinite().all(dim=1) | (gradient == 0).all(dim=1)
