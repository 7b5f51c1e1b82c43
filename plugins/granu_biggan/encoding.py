"""Encoding of images in a BigGAN by optimisation: z, a class vector near the class's own, and each block's condition.

The condition of a block's norms is computed from z and the class vector; each block gets a penalised offset to it, as
the rows of w+ do in a StyleGAN (Abdal et al. 2019, arXiv:1904.03189). What z and the class vector can express they do,
so that edits of them remain meaningful.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from granu import Inversion, Streams, open_tail
from granu_biggan import CANDIDATES
from granu_biggan.generator import BigGANGenerator, BigGANLatent

Z_WEIGHT = 1e-3  # of the mean square of z, in deviations of drawn ones
CLASS_WEIGHT = 1e-2  # of the mean square offset from the class's own vector, in deviations over the classes
OFFSETS_WEIGHT = 1e-2  # of the mean square offset of conditions
RATES = {"z": 0.2, "embedding": 0.2, "offsets": 0.2}  # Adam's step sizes, in standard deviations
SMALLEST = 0.1  # truncation that one deviation of z stands for at least


def encode(generator: BigGANGenerator, images: Tensor, labels: Tensor, noise: Streams) -> BigGANLatent:
    """Latents whose images are as near as possible to `images` (B, C, H, W) in [0, 1], of these labels (B,)."""
    found = []
    for i, label in enumerate(labels.tolist()):
        found.append(Problem(generator, label, noise.select([i])).solve(images[i]).tensors())
    if not found:
        return generator.draw(noise, labels)
    return generator.restore(labels, {name: torch.cat([one[name] for one in found]) for name in found[0]})


@dataclass(frozen=True)
class Problem:
    """The search for the latent of one image; its values are z and offsets, in deviations."""

    generator: BigGANGenerator
    label: int
    noise: Streams  # of the one image

    def solve(self, image: Tensor) -> BigGANLatent:
        """The latent whose image is nearest to the image (C, H, W)."""
        inversion, config = Inversion(self.render, self.penalty, RATES), self.generator.network.config
        z = self.generator.draw_z(self.noise.scope("candidates"), CANDIDATES)[0] / self.z_scale
        starts = inversion.nearest(image, {"z": z}, self.generator.starts)
        S = len(starts["z"])
        starts["embedding"] = z.new_zeros(S, config.y_dim)
        starts["offsets"] = z.new_zeros(S, len(config.layers), config.condition_dim)
        return self.latent(inversion.descend(image, starts, self.generator.inversion_steps))

    def render(self, values: Mapping[str, Tensor]) -> Tensor:
        """The images of values (N, ...), differentiably."""
        latent = self.latent(values)
        inputs = {"embedding": self.own.expand(len(latent.z), -1), **latent.tensors()}
        steps = self.generator.steps if latent.offsets is None else self.generator.encoded_steps
        return open_tail(steps, {name: torch.zeros_like(value) for name, value in inputs.items()}, list(inputs))(inputs)

    def latent(self, values: Mapping[str, Tensor]) -> BigGANLatent:
        """The latents that values (N, ...) stand for; without offsets, as they are drawn."""
        z = values["z"] * self.z_scale
        labels = torch.full((len(z),), self.label, device=z.device)
        if "offsets" not in values:
            return BigGANLatent(labels, z)
        embedding = self.own + values["embedding"] * self.class_scale
        return BigGANLatent(labels, z, embedding, values["offsets"] * self.condition_scale)

    def penalty(self, values: Mapping[str, Tensor]) -> Tensor:
        """The distance of the values from a drawn latent of the class, (N,)."""
        weights = {"z": Z_WEIGHT, "embedding": CLASS_WEIGHT, "offsets": OFFSETS_WEIGHT}
        return sum(
            (weight * values[name].square().flatten(1).mean(dim=1) for name, weight in weights.items()),
            start=values["z"].new_zeros(len(values["z"])),
        )

    @cached_property
    def own(self) -> Tensor:
        """The vector of the class, (y_dim,)."""
        return self.generator.network.embedding.weight[self.label].detach()

    @property
    def z_scale(self) -> float:
        """About the standard deviation of drawn latents."""
        return max(self.generator.truncation, SMALLEST)

    @cached_property
    def class_scale(self) -> Tensor:
        """The standard deviation of each number of the class vector over the classes, (y_dim,); 1 for one class."""
        table = self.generator.network.embedding.weight.detach()
        return table.std(dim=0) if len(table) > 1 else torch.ones_like(self.own)

    @cached_property
    def condition_scale(self) -> Tensor:
        """The deviation of each number of a condition, (condition_dim,): the class vector's, then those of z."""
        rest = self.generator.network.config.condition_dim - len(self.own)
        return torch.cat([self.class_scale, self.own.new_full((rest,), self.z_scale)])
