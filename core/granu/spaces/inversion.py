"""Latents of a given image by optimisation, for generators that have no encoder.

As the projector of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, appendix D) and Image2StyleGAN (Abdal et al. 2019,
arXiv:1904.03189): gradient descent on what the generator is given, until its image is the given one. In place of a
perceptual network, the images are compared at several sizes.

One image at a time: the descent amplifies rounding, which depends on the number of images in a batch, to differences
of a tenth of the range in some pixels. Alone, an image has the same encoding in any batch, bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 4  # pixels of the shorter side at the coarsest size that is compared
PIXELS_AT_ONCE = 1 << 18  # of the candidates that are compared at once, which bounds the memory
RISE = 0.05  # share of the steps over which the step size rises
BETAS = (0.9, 0.99)  # a shorter memory of squares than Adam's default, as the runs are short
EPSILON = 1e-8  # Adam's, added to the root of the mean square

Values = Mapping[str, Tensor]  # what is optimised: name -> (N, ...)


@dataclass(frozen=True)
class Inversion:
    """A generator as a function of values, and the search for the values of a given image.

    `render(values)` makes images (N, C, H, W), about [0, 1], of N rows of values, which it treats independently.
    `penalty(values)` (N,) is added to the mean square difference. `rates` are Adam's step sizes by name, at the height
    of the schedule.
    """

    render: Callable[[Values], Tensor]
    penalty: Callable[[Values], Tensor]
    rates: Mapping[str, float]

    @torch.no_grad()
    def nearest(self, image: Tensor, candidates: Values, count: int) -> dict[str, Tensor]:
        """The rows of the candidates (N, ...) whose images are nearest to the image (C, H, W), `count` of them."""
        rows = len(next(iter(candidates.values())))
        at_once = max(1, PIXELS_AT_ONCE // image[0].numel())
        parts = torch.arange(rows, device=image.device).split(at_once)
        made = (self.render({name: value[part] for name, value in candidates.items()}) for part in parts)
        far = torch.cat([mismatch(images, image.expand_as(images)) for images in made])
        index = far.topk(min(count, rows), largest=False).indices
        return {name: value[index] for name, value in candidates.items()}

    def descend(self, image: Tensor, starts: Values, steps: int) -> dict[str, Tensor]:
        """The values (1, ...) that `steps` steps of Adam reach from the best of the starts (S, ...), one batch."""
        values = {name: value.detach().clone().requires_grad_() for name, value in starts.items()}
        targets = image.expand(len(next(iter(values.values()))), *image.shape)
        with torch.enable_grad():
            self._optimise(values, targets, steps)
        with torch.no_grad():
            error = (self.render(values).clamp(0, 1) - targets).square().flatten(1).mean(dim=1)
            best = int(error.nan_to_num(math.inf).argmin())
        return {name: value.detach()[best : best + 1] for name, value in values.items()}

    def _optimise(self, values: dict[str, Tensor], targets: Tensor, steps: int) -> None:
        adam = {name: Adam(value) for name, value in values.items()}
        for step in range(steps):
            loss = mismatch(self.render(values), targets) + self.penalty(values)
            gradients = torch.autograd.grad(loss.sum(), list(values.values()), allow_unused=True)
            for (name, value), gradient in zip(values.items(), gradients, strict=True):
                if gradient is not None:
                    adam[name].step(value, gradient, schedule(step, steps) * self.rates[name])


class Adam:
    """Adam for one tensor (Kingma and Ba 2015, arXiv:1412.6980); torch's imports its compiler, which takes seconds."""

    def __init__(self, value: Tensor) -> None:
        self.mean, self.square = torch.zeros_like(value), torch.zeros_like(value)
        self.count = 0

    @torch.no_grad()
    def step(self, value: Tensor, gradient: Tensor, size: float) -> None:
        """Move `value` by a step of at most about `size` in each number."""
        self.count += 1
        self.mean.lerp_(gradient, 1 - BETAS[0])
        self.square.lerp_(gradient.square(), 1 - BETAS[1])
        mean = self.mean / (1 - BETAS[0] ** self.count)
        deviation = (self.square / (1 - BETAS[1] ** self.count)).sqrt_()
        value.sub_(size * mean / deviation.add_(EPSILON))


def mismatch(made: Tensor, images: Tensor) -> Tensor:
    """Mean square differences of images (B, C, H, W) and of their averages over squares of 2, 4, 8, ..., summed: (B,).

    The larger squares pull strokes into place that do not overlap yet, and do not reward a blur between two places.
    """
    difference = made - images
    total = difference.square().flatten(1).mean(dim=1)
    while min(difference.shape[-2:]) >= 2 * SMALLEST:
        difference = F.avg_pool2d(difference, 2)
        total = total + difference.square().flatten(1).mean(dim=1)
    return total


def schedule(step: int, steps: int) -> float:
    """The step size as a share of the highest: a short linear rise, then half a cosine down to zero."""
    rise = min(1.0, (step + 1) / max(1.0, RISE * steps))
    return rise * 0.5 * (1 + math.cos(math.pi * step / steps))
