"""The attack of adversarial training: projected gradient descent in any space, without passes beyond its steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from granu.search.pgd import projected_gradient_descent
from granu.search.state import Objective, SearchState
from granu.streams import Streams
from granu.training.perturbations import OpenPerturbation
from granu.types import Batch, Classifier, Criterion, ImageEvidence, Space


@dataclass(frozen=True)
class Attacked:
    """A batch under a change that was found in a space of it."""

    space: Space
    change: Tensor  # (B, D)

    @property
    def has_images(self) -> bool:
        """False where the change lies inside the classifier, so that only `logits` can be trained on."""
        return self.space.has_images

    def images(self) -> Tensor:
        """The changed images (B, C, H, W) in [0, 1], without gradient."""
        with torch.no_grad():
            evidence = self.space.evidence(self.change)
        assert isinstance(evidence, ImageEvidence), "this change has no images"
        return evidence.images

    def logits(self) -> Tensor:
        """The classifier's logits (B, K) under the change, with a gradient for its parameters."""
        return self.space.logits(self.change)


@dataclass(frozen=True)
class TrainingAttack:
    """Projected gradient descent on the training loss from a random start (Madry et al. 2018, section 2.1).

    It spends `steps` forward and backward passes, whose gradients are those of the change alone, and does not look at
    the last change. Where autocast is enabled, its passes run in that precision. `step_size` is that of a step in the
    unit of the space, by default 2.5 budgets divided by the steps. With `freeze` an image that is fooled keeps its
    change and takes no further passes.
    """

    perturbation: OpenPerturbation
    random_start: bool = True
    step_size: float | None = None
    freeze: bool = False

    def __call__(
        self,
        classifier: Classifier,
        batch: Batch,
        streams: Streams,
        share: float = 1.0,
        objective: Objective | None = None,
        criterion: Criterion | None = None,
    ) -> Attacked:
        """Change the batch by at most `share` of the budget to drive `objective` down.

        `classifier` should be in evaluation mode (`step.attacking()`), so that its statistics stay as they are.
        `objective` is a function of logits and `criterion`, (B,); by default the cross-entropy with its sign turned.
        """
        with torch.enable_grad():  # on validation images, gradients are off
            space, budget = self._open(classifier, batch, streams, share)
            start = self._start(space, budget, streams) if self.random_start else None
            state = SearchState(space, criterion or Criterion(batch.labels))
            # the rows of `state.change` that are frozen were written on the way
            state.change[state.active] = projected_gradient_descent(
                state,
                budget,
                steps=self.perturbation.steps,
                start=start,
                objective=objective or negative_cross_entropy,
                visit=_freeze if self.freeze else None,
                last=False,
                step_size=None if self.step_size is None else torch.full_like(budget, share * self.step_size),
            ).detach()
        return Attacked(space, state.change)

    def at_random(self, classifier: Classifier, batch: Batch, streams: Streams, share: float = 1.0) -> Attacked:
        """A random change of the size of `share` of the budget: what the attack spends, without its gradients."""
        with torch.no_grad():
            space, budget = self._open(classifier, batch, streams, share)
            return Attacked(space, space.within(space.draw(budget, streams.scope("random")), budget))

    def _open(self, classifier: Classifier, batch: Batch, streams: Streams, share: float) -> tuple[Space, Tensor]:
        space = self.perturbation.spaces.open(classifier, batch, streams.scope("space"))
        device = batch.images.device
        space.low_precision = torch.is_autocast_enabled(device.type)
        return space, torch.full((len(batch.images),), share * self.perturbation.budget, device=device)

    def _start(self, space: Space, budget: Tensor, streams: Streams) -> Tensor:
        """A random change whose size is uniform up to the budget, (B, D)."""
        noise = streams.scope("start")
        with torch.no_grad():
            size = budget * noise.uniform()
            return space.within(space.draw(size, noise), budget)


def _freeze(state: SearchState) -> None:
    """Keep the changes of images that are fooled, and narrow the state to the others."""
    fooled = state.criterion.reached(state.working.logits)
    state.change[state.active[fooled]] = state.working.x[fooled].detach()
    state.narrow(~fooled)


def negative_cross_entropy(logits: Tensor, criterion: Criterion) -> Tensor:
    """(B,) the training loss with its sign turned, since the attack descends."""
    return -F.cross_entropy(logits, criterion.labels, reduction="none")
