"""Encoding of images in a StyleGAN by optimisation: z, a w of its own for each row (w+), and noise maps.

Each row's w is the w of z plus an offset, which is penalised: what z can express it does, so that w stays in the
distribution that the generator was trained on, and edits of z and w remain meaningful. Sources: Abdal et al. 2019,
arXiv:1904.03189 (w+), Karras et al. 2020, arXiv:1912.04958, appendix D (noise maps).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from granu import Inversion, Streams, open_tail
from granu_stylegan import CANDIDATES
from granu_stylegan.generator import StyleGANGenerator, StyleGANLatent, row_count
from granu_stylegan.stylegan2 import StyleGAN2

SAMPLES = 1000  # latents that measure the deviation of w
OFFSETS_WEIGHT = 5e-3  # of the mean square offset, in deviations of w
NOISE_WEIGHT = 1e-2  # of the correlation of neighbouring numbers in the noise maps
RATES = {"z": 0.2, "offsets": 0.6}  # Adam's step sizes, in standard deviations
NOISE_RATE = 0.1
WEAKEST_NOISE = 1e-3  # strength of a layer's noise, whose activations are about 1, below which it stays as drawn
SMALLEST_NOISE = 8  # pixels of the coarsest size at which noise maps are compared with themselves


def encode(generator: StyleGANGenerator, images: Tensor, labels: Tensor, noise: Streams) -> StyleGANLatent:
    """Latents whose images are as near as possible to `images` (B, C, H, W) in [0, 1], of these labels (B,)."""
    deviations = {label: deviation_of_w(generator, label, labels.device) for label in set(labels.tolist())}
    found = []
    for i, label in enumerate(labels.tolist()):
        problem = Problem(generator, label, noise.select([i]), deviations[label])
        found.append(problem.solve(images[i]).tensors())
    if not found:
        return generator.draw(noise, labels)
    return generator.restore(labels, {name: torch.cat([one[name] for one in found]) for name in found[0]})


@dataclass(frozen=True)
class Problem:
    """The search for the latent of one image; its values are z, offsets in deviations of w, and noise maps."""

    generator: StyleGANGenerator
    label: int
    noise: Streams  # of the one image
    deviation: Tensor  # (w_dim,)

    def solve(self, image: Tensor) -> StyleGANLatent:
        """The latent whose image is nearest to the image (C, H, W)."""
        inversion = Inversion(self.render, self.penalty, dict.fromkeys(self.noises, NOISE_RATE) | RATES)
        candidates = self.noise.scope("candidates").normal(CANDIDATES, self.generator.network.z_dim)[0]
        starts = inversion.nearest(image, {"z": candidates}, self.generator.starts)
        S, rows = len(starts["z"]), row_count(self.generator.network)
        starts["offsets"] = self.deviation.new_zeros(S, rows, len(self.deviation))
        starts |= {name: value.expand(S, -1, -1, -1) for name, value in self.noises.items()}
        return self.latent(inversion.descend(image, starts, self.generator.inversion_steps))

    def render(self, values: Mapping[str, Tensor]) -> Tensor:
        """The images of values (N, ...), differentiably."""
        latent = self.latent(values)
        inputs = dict(latent.tensors())
        steps = self.generator.steps if latent.offsets is None else self.generator.encoded_steps
        zeros = {name: torch.zeros_like(value) for name, value in inputs.items()}
        return open_tail(steps, zeros | self.generator.label_input(latent.labels), list(inputs))(inputs)

    def latent(self, values: Mapping[str, Tensor]) -> StyleGANLatent:
        """The latents that values (N, ...) stand for; without offsets, one w for all rows."""
        z = values["z"]
        maps = (values.get(name) for name in self.drawn)
        noises = tuple(
            drawn.expand(len(z), -1, -1, -1) if own is None else unit_noise(own)
            for own, drawn in zip(maps, self.drawn.values(), strict=True)
        )
        offsets = values["offsets"] * self.deviation if "offsets" in values else None
        return StyleGANLatent(torch.full((len(z),), self.label, device=z.device), z, noises, offsets)

    @cached_property
    def drawn(self) -> dict[str, Tensor]:
        """The noise maps (1, 1, h, w) that the image would be drawn with."""
        label = torch.tensor([self.label], device=self.noise.device)
        return {f"noise{i}": value for i, value in enumerate(self.generator.draw(self.noise, label).noises)}

    @cached_property
    def noises(self) -> dict[str, Tensor]:
        """The noise maps (1, 1, h, w) that are optimised: where each image has its own, and they change it."""
        network = self.generator.network
        if self.generator.noise != "own" or not isinstance(network, StyleGAN2):
            return {}
        strengths = [layer.noise_strength.detach().abs().item() for layer in network.layers]
        pairs = zip(self.drawn.items(), strengths, strict=True)
        return {name: value for (name, value), strength in pairs if strength > WEAKEST_NOISE}

    def penalty(self, values: Mapping[str, Tensor]) -> Tensor:
        """The distance of the rows from one w, and the share of the image that noise maps depict, (N,)."""
        total = OFFSETS_WEIGHT * values["offsets"].square().flatten(1).mean(dim=1)
        for name in self.noises:
            total = total + NOISE_WEIGHT * sum(correlations(unit_noise(values[name])))
        return total


def deviation_of_w(generator: StyleGANGenerator, label: int, device: torch.device) -> Tensor:
    """The standard deviation of each number of w over images of one class, (w_dim,), without truncation."""
    mapping, z_dim = generator.network.mapping, generator.network.z_dim
    z = Streams(0, [f"w-{i}" for i in range(SAMPLES)], "encode", str(device)).normal(z_dim)
    given = generator.label_input(torch.full((SAMPLES,), label, device=device))
    with torch.no_grad():
        return mapping(z, *given.values()).std(dim=0)


def unit_noise(maps: Tensor) -> Tensor:
    """Noise maps (M, 1, h, w) with mean 0 and variance 1 each, as those are on average that the network was given."""
    variance, mean = torch.var_mean(maps, dim=(1, 2, 3), correction=0, keepdim=True)
    return (maps - mean) * (variance + 1e-8).rsqrt()


def correlations(maps: Tensor) -> Iterator[Tensor]:
    """Squared correlations of a noise map with itself, moved by a pixel, at all sizes: (M,) each (appendix D)."""
    while True:
        for axis in (2, 3):
            yield (maps * maps.roll(1, axis)).flatten(1).mean(dim=1).square()
        if maps.shape[-1] < 2 * SMALLEST_NOISE:
            return
        maps = 2 * F.avg_pool2d(maps, 2)  # twice the mean of four keeps the variance of independent numbers
