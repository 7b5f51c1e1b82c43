"""Spaces of changes to a batch, with a measure of size: the base class, and the space of plain pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Self

import torch
from torch import Tensor

from granu.images.ops import clamp_for_descent, quantize
from granu.streams import Streams
from granu.types import ClassifierEvidence, Evidence, ImageEvidence

Network = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) in [0, 1] to logits (B, K); a `granu.types.Classifier` is one."""


class Space:
    """A space of changes for a batch; a change is (B, D), zero changes nothing, and sizes scale with it.

    A plugin implements `images` and sets the attributes. A space whose changes have no images, because they lie inside
    the classifier or leave [0, 1], sets `has_images = False` and implements `forward` instead; it is then judged by its
    logits. The defaults measure the root mean square of the change, which makes sizes of sites with different numbers
    of neurons comparable. `largest` is the size beyond which a change is no longer small; by default searches stop
    there.
    """

    unit = "RMS"
    largest = 4.0
    has_images = True  # whether a change is judged by its images, or by the classifier's logits alone
    differentiable = True  # whether a gradient reaches the change
    low_precision = False  # whether `logits`, and so its gradient, is computed in bfloat16

    def __init__(self, classifier: Network, clean: Tensor, dimension: int) -> None:
        self.classifier = classifier
        self.clean = clean  # (B, C, H, W)
        self.dimension = dimension  # D

    def start(self) -> Tensor:
        """The change that changes nothing, (B, D)."""
        return torch.zeros(len(self.clean), self.dimension, device=self.clean.device)

    def images(self, change: Tensor) -> Tensor:
        """The changed images, (B, C, H, W) in [0, 1], differentiable."""
        raise TypeError(f"{type(self).__name__} must implement `images`, or `forward` with has_images = False")

    def forward(self, change: Tensor) -> Tensor:
        """The classifier's logits (B, K) for a change, differentiable, in whatever precision autocast says."""
        return self.classifier(self.images(change))

    def logits(self, change: Tensor) -> Tensor:
        """The logits (B, K) as the gradient passes of a search see them."""
        with torch.autocast(change.device.type, torch.bfloat16, enabled=self.low_precision):
            return self.forward(change).float()

    def evidence(self, change: Tensor) -> Evidence:
        """Evidence for the core to judge: the changed images, or a view of the classifier where there are none."""
        if self.has_images:
            return ImageEvidence(self.images(change))
        return ClassifierEvidence(partial(self.exact_logits, change))

    def judged_logits(self, change: Tensor) -> Tensor:
        """The logits (B, K) by which the core judges: of the images quantized to 8 bits, else in float32."""
        return self.classifier(quantize(self.images(change))) if self.has_images else self.exact_logits(change)

    def exact_logits(self, change: Tensor) -> Tensor:
        """The logits (B, K) in float32, without gradient."""
        with torch.no_grad(), torch.autocast(change.device.type, enabled=False):
            return self.forward(change).float()

    def quantized(self, change: Tensor) -> Tensor:
        """The change that 8-bit images of it hold; the change itself where that is not in the space."""
        return change

    def size(self, change: Tensor) -> Tensor:
        """(B,) in the unit."""
        return change.norm(dim=1) / math.sqrt(self.dimension)

    def within(self, change: Tensor, budget: Tensor) -> Tensor:
        """The nearest change whose size is at most `budget` (B,)."""
        size = self.size(change)
        return change * (budget / size.clamp_min(1e-12)).clamp_max(1)[:, None]

    def direction(self, gradient: Tensor) -> Tensor:
        """The change of size 1 that follows a gradient (B, D) most steeply uphill."""
        return gradient / self.size(gradient).clamp_min(1e-30)[:, None]

    def slope(self, gradient: Tensor) -> Tensor:
        """(B,) how fast the objective rises per unit of size along `direction`: the dual norm."""
        return gradient.norm(dim=1) * math.sqrt(self.dimension)

    def draw(self, budget: Tensor, noise: Streams) -> Tensor:
        """A random change of size `budget` (B,), (B, D)."""
        change = noise.normal(self.dimension)
        return change * (budget / self.size(change))[:, None]

    def patch(self, share: float, noise: Streams) -> Tensor:
        """A random change of size 1 to a random `share` of the coordinates, (B, D); zero elsewhere."""
        change = noise.normal(self.dimension)
        chosen = noise.uniform(self.dimension)
        change = change.masked_fill(chosen > chosen.amin(dim=1, keepdim=True).clamp_min(share), 0)
        return change / self.size(change).clamp_min(1e-30)[:, None]

    def storable(self, budget: Tensor) -> Tensor:
        """The largest size up to `budget` (B,) that changes can have without exceeding it when they are quantized."""
        return budget

    def limit(self) -> Tensor:
        """(B,) the largest size worth trying."""
        return torch.full((len(self.clean),), self.largest, device=self.clean.device)

    def rays(self) -> Tensor | None:
        """Changes of size 1, (R, D), along which searches scan sizes; None where they follow gradients instead.

        For spaces of few dimensions: what a rotation does to a classifier is no smooth function of the angle.
        """
        return None

    def select(self, index: Tensor) -> Self:
        """The space of some of the images. A subclass that holds further tensors per image selects them too."""
        chosen = object.__new__(type(self))
        chosen.__dict__.update(self.__dict__)
        chosen.clean = self.clean[index]
        return chosen


class PixelSpace(Space):
    """Changes to pixels, measured by L2, L-infinity or L1 in [0, 1] image units, kept inside the range.

    A generator's last site, `image`, and the perturbation `pixel` are both this space and nothing else.
    """

    def __init__(self, classifier: Network, clean: Tensor, norm: str) -> None:
        super().__init__(classifier, clean, clean[0].numel())
        self.norm = norm
        self.unit = f"pixel {NORM_NAMES[norm]}"

    def images(self, change: Tensor) -> Tensor:
        return clamp_for_descent(self.clean + change.view_as(self.clean))

    def quantized(self, change: Tensor) -> Tensor:
        return (quantize(self.images(change)) - self.clean).flatten(1)

    def size(self, change: Tensor) -> Tensor:
        return change.norm(p=ORDERS[self.norm], dim=1)

    def within(self, change: Tensor, budget: Tensor) -> Tensor:
        """Project onto the ball, then onto the range of images, which never makes a change larger."""
        flat = self.clean.flatten(1)
        return (flat + BALLS[self.norm](change, budget)).clamp(0, 1) - flat

    def direction(self, gradient: Tensor) -> Tensor:
        """Steepest for L2 and L-infinity. For L1 the L2 direction: one pixel at a time would make no progress."""
        if self.norm == "linf":
            return gradient.sign()
        step = gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)
        return step if self.norm == "l2" else step * math.sqrt(self.dimension)

    def slope(self, gradient: Tensor) -> Tensor:
        return gradient.norm(p=DUALS[self.norm], dim=1)

    def patch(self, share: float, noise: Streams) -> Tensor:
        """A square of a random place, one value for each channel (Square Attack, Andriushchenko et al. 2020)."""
        channels, height, width = self.clean.shape[1:]
        side = min(max(round(math.sqrt(share * height * width)), 1), height, width)
        place = noise.uniform(2)
        rows = _interval(height, side, place[:, 0])  # (B, H)
        columns = _interval(width, side, place[:, 1])
        signs = torch.where(noise.uniform(channels) < 0.5, -1.0, 1.0)
        change = (signs[:, :, None, None] * rows[:, None, :, None] * columns[:, None, None, :]).flatten(1)
        return change / self.size(change)[:, None]

    def storable(self, budget: Tensor) -> Tensor:
        """For L-infinity the multiple of 1/255 below; the other sizes exceed a budget only by what rounding adds."""
        return (255 * budget * (1 + 1e-5)).floor() / 255 if self.norm == "linf" else budget

    def limit(self) -> Tensor:
        """The whole range: every pixel moved from black to white."""
        return torch.ones_like(self.clean).flatten(1).norm(p=ORDERS[self.norm], dim=1)


def _interval(length: int, side: int, place: Tensor) -> Tensor:
    """Ones at `side` of `length` places, from a place (B,) in [0, 1) on; (B, length)."""
    first = (place * (length - side + 1)).long()[:, None]
    at = torch.arange(length, device=place.device)
    return ((at >= first) & (at < first + side)).float()


ORDERS = {"l1": 1.0, "l2": 2.0, "linf": math.inf}
DUALS = {"l1": math.inf, "l2": 2.0, "linf": 1.0}
NORM_NAMES = {"l1": "L1", "l2": "L2", "linf": "L-infinity"}


def _l2_ball(change: Tensor, budget: Tensor) -> Tensor:
    return change * (budget / change.norm(dim=1).clamp_min(1e-30)).clamp_max(1)[:, None]


def _linf_ball(change: Tensor, budget: Tensor) -> Tensor:
    return change.clamp(-budget[:, None], budget[:, None])


def _l1_ball(change: Tensor, budget: Tensor) -> Tensor:
    """Project onto the L1 ball by soft-thresholding (Duchi et al. 2008, figure 1)."""
    mass = change.abs()
    ordered = mass.sort(dim=1, descending=True).values
    excess = ordered.cumsum(dim=1) - budget[:, None]
    rank = torch.arange(1, change.shape[1] + 1, device=change.device)
    kept = (ordered * rank > excess).sum(dim=1).clamp_min(1)
    threshold = (excess.gather(1, (kept - 1)[:, None]) / kept[:, None]).clamp_min(0)
    return change.sign() * (mass - threshold).clamp_min(0)


BALLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": _l1_ball, "l2": _l2_ball, "linf": _linf_ball}
