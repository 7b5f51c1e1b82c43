"""A trained StyleGAN as a generator, written as steps so that it can be resumed behind any site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Site, Step, Streams, Tail, open_tail
from granu_stylegan.stylegan2 import StyleGAN2
from granu_stylegan.stylegan3 import StyleGAN3

__all__ = ["StyleGANGenerator", "StyleGANLatent"]


@dataclass(frozen=True)
class StyleGANLatent:
    """The inputs that determine the images of a batch."""

    labels: Tensor  # (B,), -1 where the network is unconditional
    z: Tensor  # (B, z_dim)
    noises: tuple[Tensor, ...]  # for each layer of a StyleGAN2 (B, 1, h, w)

    def select(self, index: Tensor) -> StyleGANLatent:
        noises = tuple(noise[index] for noise in self.noises)
        return StyleGANLatent(self.labels[index], self.z[index], noises)


@dataclass(frozen=True)
class StyleGANGenerator:
    """A granu.Generator; `truncation` in [0, 1], where 1 draws the full variety."""

    network: StyleGAN2 | StyleGAN3
    layout: Sequence[Site]
    classes: Sequence[str]
    truncation: float
    fingerprint: str
    noise: str = "own"  # or "stored", as in the weights, or "none"

    @property
    def labels(self) -> Sequence[int]:
        return range(len(self.classes))

    def sites(self) -> Sequence[Site]:
        return self.layout

    def draw(self, noise: Streams, labels: Tensor | None = None) -> StyleGANLatent:
        """Draw latents, and noise maps as `noise` says."""
        if labels is None:
            labels = torch.full([len(noise)], -1, device=noise.device)
        return StyleGANLatent(labels, noise.scope("z").normal(self.network.z_dim), tuple(self._noises(noise)))

    def _noises(self, noise: Streams) -> Iterator[Tensor]:
        """Noise maps (B, 1, h, w), one for each layer that takes one."""
        for i, site in enumerate(site for site in self.layout if site.name.startswith("noise")):
            if self.noise == "own":
                yield noise.scope(site.name).normal(*site.shape)
            elif self.noise == "stored":
                assert isinstance(self.network, StyleGAN2)
                yield self.network.noise(i).expand(len(noise), *site.shape)
            else:
                yield torch.zeros(len(noise), *site.shape, device=noise.device)

    def tail(self, latent: StyleGANLatent, sites: Sequence[str]) -> Tail:
        inputs = {"z": latent.z} | {f"noise{i}": noise for i, noise in enumerate(latent.noises)}
        if self.network.c_dim:
            inputs["label"] = F.one_hot(latent.labels, self.network.c_dim).to(latent.z.dtype)
        return open_tail(self.steps, inputs, sites)

    @cached_property
    def steps(self) -> Sequence[Step]:
        if isinstance(self.network, StyleGAN3):
            return list(stylegan3_steps(self.network, self.truncation))
        return list(stylegan2_steps(self.network, self.truncation))


def stylegan2_steps(network: StyleGAN2, truncation: float) -> Iterator[Step]:
    """Steps from z and the one-hot label over w, styles, layers and RGB sums to an image about [0, 1]."""
    given = ("z", "label") if network.c_dim else ("z",)
    yield Step("w", given, partial(network.mapping, truncation=truncation))
    rgb: tuple[str, ...] = ()
    for i in range(len(network.layers)):
        yield Step(f"style{i}", ("w",), partial(network.affine, i))
        if i == 0:
            yield Step("layer0", ("style0", "noise0"), partial(first_layer, network))
        else:
            yield Step(f"layer{i}", (f"layer{i - 1}", f"style{i}", f"noise{i}"), partial(network.layer, i))
        if (block := network.block_ending_at(i)) is not None:
            yield Step(f"rgb{block}", (f"layer{i}", "w", *rgb), partial(network.to_rgb, block))
            rgb = (f"rgb{block}",)
    yield Step("image", rgb, lambda total: (total + 1) / 2)


def first_layer(network: StyleGAN2, style: Tensor, noise: Tensor) -> Tensor:
    return network.layer(0, network.start(len(style)), style, noise)


def stylegan3_steps(network: StyleGAN3, truncation: float) -> Iterator[Step]:
    """Steps of a StyleGAN3, which has no noise maps and whose Fourier features depend on w."""
    yield Step("w", ("z", "label") if network.c_dim else ("z",), partial(network.mapping, truncation=truncation))
    yield Step("input", ("w",), network.start)
    before = "input"
    for i in range(len(network.layers)):
        yield Step(f"style{i}", ("w",), partial(network.affine, i))
        yield Step(f"layer{i}", (before, f"style{i}"), partial(network.layer, i))
        before = f"layer{i}"
    yield Step("image", (before,), lambda x: (network.finish(x) + 1) / 2)
