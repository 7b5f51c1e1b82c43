"""The deterministic DDIM sampler (Song et al. 2021, equation 12 with sigma = 0), step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from granu_diffusion.denoiser import Denoiser

Pair = tuple[float, float]


@dataclass(frozen=True)
class Factors:
    """A step of DDIM from the state x at timestep t, where the network predicts p.

    The predicted `image` and `noise` are sums of x and p with these factors; the next state is `b` times the image and
    `r` times the noise. `slope` is how it grows with x if the data are normal with unit variance, and guides the
    inversion.
    """

    t: int
    image: Pair
    noise: Pair
    b: float
    r: float
    slope: float

    @property
    def following(self) -> Pair:
        """The factors of x and p in the next state."""
        return self.b * self.image[0] + self.r * self.noise[0], self.b * self.image[1] + self.r * self.noise[1]


@dataclass(frozen=True)
class Sampler:
    """Steps from noise to a clean image or latent; `clip` bounds the predicted image at each of them."""

    denoiser: Denoiser
    factors: Sequence[Factors]
    clip: float | None

    def step(self, i: int, x: Tensor, labels: Tensor) -> Tensor:
        """State i + 1 from state i."""
        return self._advance(i, x, self.denoiser(x, self.factors[i].t, labels))

    def middle(self, i: int, x: Tensor, labels: Tensor) -> Tensor:
        """The middle block's output at state i."""
        return self.denoiser.middle(x, self.factors[i].t, labels)

    def step_behind_middle(self, i: int, x: Tensor, h: Tensor, labels: Tensor) -> Tensor:
        """State i + 1 from state i and the middle block's output there."""
        return self._advance(i, x, self.denoiser.behind_middle(x, h, self.factors[i].t, labels))

    def _advance(self, i: int, x: Tensor, prediction: Tensor) -> Tensor:
        step = self.factors[i]
        if self.clip is None:  # one sum: predicted images of far more than 1 do not cancel each other
            return _sum(step.following, x, prediction)
        image = _sum(step.image, x, prediction).clamp(-self.clip, self.clip)
        return step.b * image + step.r * _sum(step.noise, x, prediction)


def find_factors(timesteps: Sequence[int], length: int, levels: Tensor, last: float, kind: str) -> tuple[Factors, ...]:
    """The steps of a sampler; `levels` (T,) are the shares of signal, `last` the one behind the last step.

    `kind` says what the network predicts: "epsilon", "v_prediction" (Salimans and Ho 2022) or "sample".
    """
    stride = length // len(timesteps)
    found = []
    for t in timesteps:
        a, s = _roots(float(levels[t]))
        following = float(levels[t - stride]) if t >= stride else last
        b, r = _roots(following)
        if kind == "epsilon":
            image, noise = (1 / a, -s / a), (0.0, 1.0)
        elif kind == "v_prediction":
            image, noise = (a, -s), (s, a)
        else:
            image, noise = (0.0, 1.0), (1 / s, -a / s)
        found.append(Factors(t, image, noise, b, r, slope=b * a + r * s))
    return tuple(found)


def recomputed(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Call a function whose inner values are computed again in the backward pass, which saves their memory."""
    if torch.is_grad_enabled() and any(value.requires_grad for value in inputs):
        # no random numbers are drawn inside, so their state need not be kept
        return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return function(*inputs)


def _sum(factors: Pair, x: Tensor, prediction: Tensor) -> Tensor:
    return factors[0] * x + factors[1] * prediction


def _roots(level: float) -> Pair:
    """The factors of signal and noise."""
    return math.sqrt(level), math.sqrt(1 - level)
