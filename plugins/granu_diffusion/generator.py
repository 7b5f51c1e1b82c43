"""A diffusion model as a generator, written as steps so that it can be resumed behind any site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from granu import Site, Step, Streams, Tail, open_tail
from granu_diffusion.autoencoder import Autoencoder, Pixels
from granu_diffusion.inversion import invert
from granu_diffusion.layout import FIRST, IMAGE, Layout
from granu_diffusion.sampler import Sampler, recomputed

UNCONDITIONAL = -1
NOISE, RESTS = "noise", "rests"


@dataclass(frozen=True)
class DiffusionLatent:
    """The noise that a batch of images is sampled from.

    `rests` (B, steps, C, H, W) is added step by step while sampling, None for nothing: what an encoding missed.
    """

    labels: Tensor  # (B,)
    noise: Tensor  # (B, C, H, W)
    rests: Tensor | None = None

    def select(self, index: Tensor) -> DiffusionLatent:
        rests = None if self.rests is None else self.rests[index]
        return DiffusionLatent(self.labels[index], self.noise[index], rests)

    def tensors(self) -> Mapping[str, Tensor]:
        """All that an encoding consists of but the labels."""
        return {NOISE: self.noise} | ({} if self.rests is None else {RESTS: self.rests})


@dataclass(frozen=True)
class DiffusionGenerator:
    """A granu.Generator that draws and encodes; `labels` are the classes to draw from."""

    sampler: Sampler
    decoder: Pixels | Autoencoder
    layout: Layout
    classes: Sequence[str]
    labels: Sequence[int]
    fingerprint: str
    iterations: int
    tolerance: float
    exact: bool

    @property
    def encoding(self) -> str:
        """The parameters that `encode` depends on, beside the fingerprint."""
        return f"iterations {self.iterations} tolerance {self.tolerance:g} exact {self.exact}"

    def sites(self) -> Sequence[Site]:
        return self.layout.sites()

    def draw(self, noise: Streams, labels: Tensor | None = None) -> DiffusionLatent:
        """Draw standard normal noise for images of these classes, or of any that are to be drawn."""
        if not self.classes:
            labels = torch.full((len(noise),), UNCONDITIONAL, device=noise.device)
        elif labels is None:
            choices = torch.tensor(self.labels, device=noise.device)
            labels = choices[noise.scope("label").integers(len(choices))]
        return DiffusionLatent(labels, noise.scope("z").normal(*self.layout.config.state_shape))

    def tail(self, latent: DiffusionLatent, sites: Sequence[str]) -> Tail:
        corrected = latent.rests is not None
        inputs = {FIRST: latent.noise, "labels": latent.labels}
        if latent.rests is not None:
            inputs |= {f"rest{i}": rest for i, rest in enumerate(latent.rests.unbind(dim=1))}
        return open_tail(list(self._steps(frozenset(sites), corrected)), inputs, sites)

    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> DiffusionLatent:
        """Invert the sampler from its last step to its first (Song et al. 2021, section 4.3)."""
        x = self.decoder.encode(images)
        rests: list[Tensor] = []
        for i in reversed(range(len(self.sampler.factors))):

            def step(x: Tensor, index: Tensor, i: int = i) -> Tensor:
                return self.sampler.step(i, x, labels[index])

            x, rest = invert(step, x, self.sampler.factors[i].slope, self.iterations, self.tolerance)
            rests.insert(0, rest)
        return DiffusionLatent(labels, x, torch.stack(rests, dim=1) if self.exact else None)

    def restore(self, labels: Tensor, tensors: Mapping[str, Tensor]) -> DiffusionLatent:
        """The encoding of these labels (B,) whose `tensors()` were stored."""
        return DiffusionLatent(labels, tensors[NOISE], tensors.get(RESTS))

    def _steps(self, sites: frozenset[str], corrected: bool) -> Iterator[Step]:
        """Steps from noise to image; only where a middle block is edited, its output is a value of its own."""
        states = self.layout.states
        for i, (name, following) in enumerate(pairwise(states)):
            reads: tuple[str, ...] = (name,)
            function: Callable[..., Tensor] = partial(self.sampler.step, i)
            middle = self.layout.middles.get(i)
            if middle in sites:
                yield Step(middle, (name, "labels"), partial(recomputed, partial(self.sampler.middle, i)))
                reads, function = (name, middle), partial(self.sampler.step_behind_middle, i)
            reads = (*reads, "labels")
            if corrected:
                reads, function = (*reads, f"rest{i}"), partial(_add_rest, function)
            yield Step(following, reads, partial(recomputed, function))
        yield Step(IMAGE, (states[-1],), self.decoder.decode)


def _add_rest(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    *rest_of_inputs, rest = inputs
    return function(*rest_of_inputs) + rest
