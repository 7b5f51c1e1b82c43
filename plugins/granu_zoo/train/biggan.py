"""The recipe of a second generator: a class-conditional BigGAN on MNIST, for one CPU core and half an hour.

The network is the wide BigGAN (Brock et al. 2019) with latents in chunks, a shared class embedding and
self-attention. It learns from the same critic, by the same losses, as the zoo's StyleGAN2, so that what differs
between the two is the generator. At the end its norms get standing statistics (section 3.1 there): those of the
averaged network, over many batches.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import torch
from PIL import Image
from torch import Tensor, nn

# as in the other recipe, a plugin imports another: it makes weights for exactly that network
from granu_biggan.config import BigGANConfig, LayerPlan
from granu_biggan.network import BigGAN, ConditionalNorm, Norm
from granu_zoo.train.data import read_images
from granu_zoo.train.store import store
from granu_zoo.train.stylegan import CLASSES, Run, Settings, half_precision
from granu_zoo.train.training import run_training, sheet_of
from granu_zoo.trained_on import MNIST

__all__ = ["IMAGES", "train_biggan"]

CONFIG = BigGANConfig(
    z_dim=64,
    y_dim=32,
    classes=CLASSES,
    layers=(
        LayerPlan("residual", 64, 64, True),
        LayerPlan("residual", 64, 32, True),
        LayerPlan("attention", 32, 32),
        LayerPlan("residual", 32, 16, True),
    ),
    hierarchy="chunks",
    channels=1,
)
IMAGES = 180_000  # real images that the critic is shown
LEARNING_RATE = 5e-4  # of the generator, whose weights are stored as they are used
STANDING = 100  # batches of 100 images


def train_biggan(data: Path, out: Path, seed: int, settings: Settings) -> Path:
    """Train, or go on training from `out`/checkpoint.pt, and write `out`/biggan-mnist.safetensors."""
    run = BigGANRun(read_images(data, MNIST, "train"), seed, settings)
    run_training(run, out, settings.images, settings.report_every)
    path = out / "biggan-mnist.safetensors"
    recipe = f"python -m granu_zoo.train biggan-mnist --images {settings.images} --seed {seed}"
    finished = settled(cast(BigGAN, run.average), STANDING)
    for norm in norms(finished):  # a file holds norm statistics as tables by truncation; this one has one row
        norm.mean, norm.variance = norm.mean[None], norm.variance[None]
    sha256 = store(finished, path, "biggan", CONFIG.to_json(), recipe, seed, {"images": run.seen})
    print(f"sha256 {sha256} {path}")
    return path


class BigGANRun(Run):
    """The same training with another generator."""

    def __init__(self, data: tuple[Tensor, Tensor], seed: int, settings: Settings) -> None:
        super().__init__(data, seed, settings)
        self.generator = begin(BigGAN(CONFIG))  # type: ignore[assignment]
        self.average = copy.deepcopy(self.generator)
        self.optimise_g = torch.optim.Adam(self.generator.parameters(), LEARNING_RATE, (0.0, 0.99))

    def slow_down(self) -> None:
        super().slow_down()
        share = self.optimise_d.param_groups[0]["lr"] / self.settings.learning_rate
        self.optimise_g.param_groups[0]["lr"] = LEARNING_RATE * share

    def render(self, classes: Tensor) -> Tensor:
        """Images of these classes by the generator, its norms fed by this batch."""
        z = torch.randn(len(classes), CONFIG.z_dim)
        with half_precision():
            return self.generator(z, classes).float()

    def sheet(self) -> Image.Image:
        z = torch.randn(CLASSES * 10, CONFIG.z_dim, generator=torch.Generator().manual_seed(self.seed))
        with torch.no_grad():
            network = settled(cast(BigGAN, self.average), 10)
            return sheet_of(network(z, torch.arange(CLASSES).repeat_interleave(10)))

    def track_average(self) -> None:
        half_life = min(self.settings.average_half_life, 0.05 * self.seen)
        keep = 0.5 ** (self.settings.batch / half_life)
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)


def begin(network: BigGAN) -> BigGAN:
    """Orthogonal weights, as the paper has them; norms that at first hardly listen to the condition."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.orthogonal_(module.weight)
        if isinstance(module, ConditionalNorm):
            for part in (module.gain, module.bias):
                nn.init.normal_(part.weight, std=0.02)
    return network


def norms(network: BigGAN) -> list[Norm | ConditionalNorm]:
    return [module for module in network.modules() if isinstance(module, Norm | ConditionalNorm)]


@torch.no_grad()
def settled(network: BigGAN, batches: int) -> BigGAN:
    """A copy whose norms hold the mean statistics of so many batches of 100 images, in full precision."""
    settled = copy.deepcopy(network).train()
    source = torch.Generator().manual_seed(0)
    for count in range(1, batches + 1):
        for norm in norms(settled):
            norm.momentum = 1 / count  # the running mean of all batches so far
        z = torch.randn(100, CONFIG.z_dim, generator=source)
        settled(z, torch.arange(100) % CLASSES)
    return settled.eval()
