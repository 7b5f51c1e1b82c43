"""A trained BigGAN as a generator, written as steps so that it can be resumed behind any site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from granu import Site, Step, Streams, Tail, open_tail
from granu_biggan.layout import list_sites
from granu_biggan.network import BigGAN

CUT = 2.0  # standard deviations; latents beyond are not drawn, as in the published samples
VERSION = 1  # of the algorithm that encodes, so that encodings of another one are not taken for its own


@dataclass(frozen=True)
class BigGANLatent:
    """The inputs that determine the images of a batch, drawn or encoded.

    An encoded image has a class vector of its own, and an offset for the condition of each layer.
    """

    labels: Tensor  # (B,)
    z: Tensor  # (B, z_dim)
    embedding: Tensor | None = None  # (B, y_dim) where the images were encoded
    offsets: Tensor | None = None  # (B, layers, condition_dim) where the images were encoded

    def select(self, index: Tensor) -> BigGANLatent:
        own = (None if value is None else value[index] for value in (self.embedding, self.offsets))
        return BigGANLatent(self.labels[index], self.z[index], *own)

    def tensors(self) -> Mapping[str, Tensor]:
        """All but the labels, by the names that the steps have for them."""
        given = {"z": self.z, "embedding": self.embedding, "offsets": self.offsets}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class BigGANGenerator:
    """A granu.Generator that draws and encodes; `labels` are the classes to draw from."""

    network: BigGAN
    classes: Sequence[str]
    labels: Sequence[int]
    truncation: float
    fingerprint: str
    starts: int = 2  # of an encoding
    inversion_steps: int = 100  # of an encoding

    def sites(self) -> Sequence[Site]:
        return list_sites(self.network.config)

    def draw(self, noise: Streams, labels: Tensor | None = None) -> BigGANLatent:
        """Draw latents from a normal distribution truncated at ±2, times the truncation (section 3.1 of the paper)."""
        if labels is None:
            choices = torch.tensor(self.labels, device=noise.device)
            labels = choices[noise.scope("label").integers(len(choices))]
        return BigGANLatent(labels, self.draw_z(noise.scope("z")))

    def draw_z(self, noise: Streams, *shape: int) -> Tensor:
        """Latents (B, *shape, z_dim)."""
        below = torch.special.ndtr(torch.tensor(-CUT, dtype=torch.float64))
        uniform = noise.uniform(*shape, self.network.config.z_dim).double()
        return self.truncation * torch.special.ndtri(below + uniform * (1 - 2 * below)).float()

    @property
    def encoding(self) -> str:
        """The parameters that `encode` depends on."""
        return f"z, class vector, conditions {VERSION} starts {self.starts} steps {self.inversion_steps}"

    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> BigGANLatent:
        """Find latents whose images are as near as possible to `images` (B, C, H, W) in [0, 1], by optimisation."""
        from granu_biggan.encoding import encode

        return encode(self, images, labels, noise)

    def restore(self, labels: Tensor, tensors: Mapping[str, Tensor]) -> BigGANLatent:
        """The encoding of these labels (B,) whose `tensors()` were stored."""
        return BigGANLatent(labels, tensors["z"], tensors["embedding"], tensors["offsets"])

    def tail(self, latent: BigGANLatent, sites: Sequence[str]) -> Tail:
        with torch.no_grad():
            inputs = {"embedding": self.network.embed(latent.labels), **latent.tensors()}
        return open_tail(self.steps if latent.offsets is None else self.encoded_steps, inputs, sites)

    @cached_property
    def steps(self) -> Sequence[Step]:
        """From z and the class vector to the image."""
        return list(biggan_steps(self.network))

    @cached_property
    def encoded_steps(self) -> Sequence[Step]:
        """The same with the offsets of encoded images."""
        return list(biggan_steps(self.network, encoded=True))


def biggan_steps(network: BigGAN, encoded: bool = False) -> Iterator[Step]:
    """Steps from z and the class embedding over feature maps and conditions to an image about [0, 1].

    Conditions are computed from z and the embedding, so an edit of a feature map does not change them. Where images
    are `encoded`, an offset of their own is added to each.
    """
    yield Step("linear", ("z", "embedding"), network.start)
    before = "linear"
    for i, plan in enumerate(network.config.layers):
        yield Step(f"condition{i}", ("z", "embedding"), partial(network.condition, i))
        condition = f"condition{i}"
        if encoded and plan.kind != "attention":  # attention ignores its condition
            condition = f"own{i}"
            yield Step(condition, (f"condition{i}", "offsets"), partial(with_offset, i))
        yield Step(f"layer{i}", (before, condition), partial(network.layer, i))
        before = f"layer{i}"
    yield Step("image", (before,), lambda x: (network.finish(x) + 1) / 2)


def with_offset(i: int, condition: Tensor, offsets: Tensor) -> Tensor:
    return condition + offsets[:, i]
