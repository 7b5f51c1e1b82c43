"""The nearest decision boundary of each image: the core's DeepFool in L2, among the pixels that may change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from granu import Criterion, DeepFoolCandidates, DeepFoolStop, SearchState, Space, deepfool
from granu_sparse_pixel.failure import FailureReason
from granu_sparse_pixel.passes import Passes

STEPS = 50
OVERSHOOT = 0.02
REASONS = {
    DeepFoolStop.CROSSED: FailureReason.NONE,
    DeepFoolStop.STEPS_SPENT: FailureReason.NOT_REACHED,
    DeepFoolStop.ZERO_GRADIENT: FailureReason.ZERO_GRADIENT,
    DeepFoolStop.NOT_FINITE: FailureReason.NOT_FINITE,
}


@dataclass(frozen=True)
class Boundary:
    """A plane per image, or a failure; where there is a failure the rest has no meaning."""

    step: Tensor  # (b, C, H, W) r: from the image to the plane
    normal: Tensor  # (b, C, H, W) w: of length 1 in L2, pointing away from the label
    failure: Tensor  # (b,) int64, a FailureReason each


class MaskedPixelSpace(Space):
    """Changes to the pixels that `mask` (b, C, H, W) allows, measured in L2 and not bounded to [0, 1]."""

    unit = "pixel L2"
    has_images = False

    def __init__(self, classifier: Callable[[Tensor], Tensor], clean: Tensor, mask: Tensor) -> None:
        super().__init__(classifier, clean, clean[0].numel())
        self.mask = mask

    def forward(self, change: Tensor) -> Tensor:
        return self.classifier(self.clean + change.view_as(self.clean))

    def size(self, change: Tensor) -> Tensor:
        return change.norm(dim=1)

    def within(self, change: Tensor, budget: Tensor) -> Tensor:
        """Nothing is bounded here."""
        return change

    def direction(self, gradient: Tensor) -> Tensor:
        allowed = gradient * self.mask.flatten(1)
        return allowed / allowed.norm(dim=1, keepdim=True).clamp_min(1e-30)

    def slope(self, gradient: Tensor) -> Tensor:
        return (gradient * self.mask.flatten(1)).norm(dim=1)

    def select(self, index: Tensor) -> Self:
        chosen = super().select(index)
        chosen.mask = self.mask[index]
        return chosen


def nearest_boundary(
    passes: Passes, x: Tensor, criterion: Criterion, rows: Tensor, *, mask: Tensor, classes: int
) -> Boundary:
    """The boundary next to `x` (b, C, H, W), linearised where DeepFool crosses it (SparseFool, section 3.2).

    `rows` (b,) say which rows of the batch that `passes` counts the images are; `mask` (b, C, H, W) is 1 where an image
    may change and 0 elsewhere; the boundaries with the `classes` classes ranked highest at `x` are compared.

    Differences from the authors' code: the label is the criterion's and not the present prediction at `x`, so DeepFool
    never steps back. Classes are compared once, at `x`, and the nearest is then followed, at a third of the gradient
    passes. Logits and gradient are both taken at the overshot point, at half the forward passes.
    """
    state = SearchState(MaskedPixelSpace(passes.classifier, x, mask), criterion)
    crossing = deepfool(
        state,
        torch.full_like(state.size, torch.inf),
        steps=STEPS,
        classes=classes,
        candidates=DeepFoolCandidates.NEAREST,
        overshoot=OVERSHOOT,
        minimum_step=1e-4,
        normals=True,
    )
    passes.add(rows, state.forward, state.backward)
    failure = torch.tensor([REASONS[stop] for stop in DeepFoolStop], device=x.device)[crossing.stop]
    step = crossing.change / (1 + OVERSHOOT)
    return Boundary(step.view_as(x), crossing.normal.view_as(x), failure)
