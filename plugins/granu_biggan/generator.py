"""A trained BigGAN as a generator, written as steps so that it can be resumed behind any site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from granu import Site, Step, Streams, Tail, open_tail
from granu_biggan.layout import list_sites
from granu_biggan.network import BigGAN

CUT = 2.0  # standard deviations; latents beyond are not drawn, as in the published samples


@dataclass(frozen=True)
class BigGANLatent:
    """The inputs that determine the images of a batch."""

    labels: Tensor  # (B,)
    z: Tensor  # (B, z_dim)

    def select(self, index: Tensor) -> BigGANLatent:
        return BigGANLatent(self.labels[index], self.z[index])


@dataclass(frozen=True)
class BigGANGenerator:
    """A granu.Generator; `labels` are the classes to draw from."""

    network: BigGAN
    classes: Sequence[str]
    labels: Sequence[int]
    truncation: float
    fingerprint: str

    def sites(self) -> Sequence[Site]:
        return list_sites(self.network.config)

    def draw(self, noise: Streams, labels: Tensor | None = None) -> BigGANLatent:
        """Draw latents from a normal distribution truncated at ±2, times the truncation (section 3.1 of the paper)."""
        if labels is None:
            choices = torch.tensor(self.labels, device=noise.device)
            labels = choices[noise.scope("label").integers(len(choices))]
        below = torch.special.ndtr(torch.tensor(-CUT, dtype=torch.float64))
        uniform = noise.scope("z").uniform(self.network.config.z_dim).double()
        z = torch.special.ndtri(below + uniform * (1 - 2 * below)).float()
        return BigGANLatent(labels, self.truncation * z)

    def tail(self, latent: BigGANLatent, sites: Sequence[str]) -> Tail:
        with torch.no_grad():
            inputs = {"z": latent.z, "embedding": self.network.embed(latent.labels)}
        return open_tail(self.steps, inputs, sites)

    @cached_property
    def steps(self) -> Sequence[Step]:
        return list(biggan_steps(self.network))


def biggan_steps(network: BigGAN) -> Iterator[Step]:
    """Steps from z and the class embedding over feature maps and conditions to an image about [0, 1].

    Conditions are computed from z and the embedding, so an edit of a feature map does not change them.
    """
    yield Step("linear", ("z", "embedding"), network.start)
    before = "linear"
    for i in range(len(network.layers)):
        yield Step(f"condition{i}", ("z", "embedding"), partial(network.condition, i))
        yield Step(f"layer{i}", (before, f"condition{i}"), partial(network.layer, i))
        before = f"layer{i}"
    yield Step("image", (before,), lambda x: (network.finish(x) + 1) / 2)
