"""A trained StyleGAN as a generator, written as steps so that it can be resumed behind any site."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Site, Step, Streams, Tail, open_tail
from granu_stylegan.stylegan2 import StyleGAN2
from granu_stylegan.stylegan3 import StyleGAN3

__all__ = ["StyleGANGenerator", "StyleGANLatent"]

VERSION = 1  # of the algorithm that encodes, so that encodings of another one are not taken for its own


@dataclass(frozen=True)
class StyleGANLatent:
    """The inputs that determine the images of a batch, drawn or encoded.

    An encoded image has a w of its own in each row (w+): the w of its z plus the row's offset.
    """

    labels: Tensor  # (B,), -1 where the network is unconditional
    z: Tensor  # (B, z_dim)
    noises: tuple[Tensor, ...]  # for each layer of a StyleGAN2 (B, 1, h, w)
    offsets: Tensor | None = None  # (B, rows, w_dim) where the images were encoded

    def select(self, index: Tensor) -> StyleGANLatent:
        noises = tuple(noise[index] for noise in self.noises)
        offsets = None if self.offsets is None else self.offsets[index]
        return StyleGANLatent(self.labels[index], self.z[index], noises, offsets)

    def tensors(self) -> Mapping[str, Tensor]:
        """All but the labels, by the names that the steps have for them."""
        noises = {f"noise{i}": noise for i, noise in enumerate(self.noises)}
        return {"z": self.z} | noises | ({} if self.offsets is None else {"offsets": self.offsets})


@dataclass(frozen=True)
class StyleGANGenerator:
    """A granu.Generator that draws and encodes; `truncation` in [0, 1], where 1 draws the full variety."""

    network: StyleGAN2 | StyleGAN3
    layout: Sequence[Site]
    classes: Sequence[str]
    truncation: float
    fingerprint: str
    noise: str = "own"  # or "stored", as in the weights, or "none"
    starts: int = 2  # of an encoding
    inversion_steps: int = 100  # of an encoding

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

    @property
    def encoding(self) -> str:
        """The parameters that `encode` depends on."""
        return f"w+ {VERSION} starts {self.starts} steps {self.inversion_steps}"

    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> StyleGANLatent:
        """Find latents whose images are as near as possible to `images` (B, C, H, W) in [0, 1], by optimisation."""
        from granu_stylegan.encoding import encode

        return encode(self, images, labels, noise)

    def restore(self, labels: Tensor, tensors: Mapping[str, Tensor]) -> StyleGANLatent:
        """The encoding of these labels (B,) whose `tensors()` were stored."""
        noises = tuple(tensors[f"noise{i}"] for i in range(self.noise_count))
        return StyleGANLatent(labels, tensors["z"], noises, tensors["offsets"])

    @cached_property
    def noise_count(self) -> int:
        """The number of layers that take a noise map."""
        return sum(site.name.startswith("noise") for site in self.layout)

    def tail(self, latent: StyleGANLatent, sites: Sequence[str]) -> Tail:
        inputs = {**latent.tensors(), **self.label_input(latent.labels)}
        return open_tail(self.steps if latent.offsets is None else self.encoded_steps, inputs, sites)

    def label_input(self, labels: Tensor) -> dict[str, Tensor]:
        """The one-hot labels (B, c_dim) that the mapping takes; nothing where the network is unconditional."""
        if not self.network.c_dim:
            return {}
        return {"label": F.one_hot(labels, self.network.c_dim).to(self.network.mapping.w_avg.dtype)}

    @cached_property
    def steps(self) -> Sequence[Step]:
        """From z, the label and noise maps to the image."""
        return list(self._steps(encoded=False))

    @cached_property
    def encoded_steps(self) -> Sequence[Step]:
        """The same with the offsets of encoded images."""
        return list(self._steps(encoded=True))

    def _steps(self, encoded: bool) -> Iterator[Step]:
        if isinstance(self.network, StyleGAN3):
            return stylegan3_steps(self.network, self.truncation, encoded)
        return stylegan2_steps(self.network, self.truncation, encoded)


def stylegan2_steps(network: StyleGAN2, truncation: float, encoded: bool = False) -> Iterator[Step]:
    """Steps from z and the one-hot label over w, styles, layers and RGB sums to an image about [0, 1].

    Each layer has a row of w+, and the layer to RGB that of the layer behind it, as in NVIDIA's code.
    """
    w = yield from w_steps(network, truncation, encoded)
    rgb: tuple[str, ...] = ()
    for i in range(len(network.layers)):
        yield Step(f"style{i}", (w(i),), partial(network.affine, i))
        if i == 0:
            yield Step("layer0", ("style0", "noise0"), partial(first_layer, network))
        else:
            yield Step(f"layer{i}", (f"layer{i - 1}", f"style{i}", f"noise{i}"), partial(network.layer, i))
        if (block := network.block_ending_at(i)) is not None:
            yield Step(f"rgb{block}", (f"layer{i}", w(i + 1), *rgb), partial(network.to_rgb, block))
            rgb = (f"rgb{block}",)
    yield Step("image", rgb, lambda total: (total + 1) / 2)


def first_layer(network: StyleGAN2, style: Tensor, noise: Tensor) -> Tensor:
    return network.layer(0, network.start(len(style)), style, noise)


def stylegan3_steps(network: StyleGAN3, truncation: float, encoded: bool = False) -> Iterator[Step]:
    """Steps of a StyleGAN3, which has no noise maps and whose Fourier features depend on w, on its first row."""
    w = yield from w_steps(network, truncation, encoded)
    yield Step("input", (w(0),), network.start)
    before = "input"
    for i in range(len(network.layers)):
        yield Step(f"style{i}", (w(i + 1),), partial(network.affine, i))
        yield Step(f"layer{i}", (before, f"style{i}"), partial(network.layer, i))
        before = f"layer{i}"
    yield Step("image", (before,), lambda x: (network.finish(x) + 1) / 2)


def w_steps(
    network: StyleGAN2 | StyleGAN3, truncation: float, encoded: bool
) -> Generator[Step, None, Callable[[int], str]]:
    """The mapping, and where images are `encoded` the rows of w+; returns the name of the w that a row holds."""
    yield Step("w", ("z", "label") if network.c_dim else ("z",), partial(network.mapping, truncation=truncation))
    if not encoded:
        return lambda row: "w"
    for row in range(row_count(network)):
        yield Step(f"w{row}", ("w", "offsets"), partial(w_of_row, row))
    return lambda row: f"w{row}"


def w_of_row(row: int, w: Tensor, offsets: Tensor) -> Tensor:
    return w + offsets[:, row]


def row_count(network: StyleGAN2 | StyleGAN3) -> int:
    """Rows of w+: one for each layer, and one for the last layer to RGB or for the Fourier features."""
    return len(network.layers) + 1
