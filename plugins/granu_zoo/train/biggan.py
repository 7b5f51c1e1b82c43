"""Recipe of a class-conditional BigGAN on MNIST, about half an hour on one thread of a CPU.

The network is the wide BigGAN (Brock et al. 2019) with latents in chunks, a shared class embedding and
self-attention. Discriminator and losses are those of the zoo's StyleGAN2, so that the two differ in the generator
alone. After training, the norms get standing statistics (section 3.1): those of the averaged network over many
batches.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import torch
from PIL import Image
from torch import Tensor, nn

# only recipes import another plugin, see stylegan.py
from granu_biggan.config import BigGANConfig, LayerPlan
from granu_biggan.network import BigGAN, ConditionalNorm, Norm
from granu_zoo.train.data import read_images
from granu_zoo.train.store import store
from granu_zoo.train.stylegan import CLASSES, Settings, StyleGANTraining, half_precision
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
IMAGES = 180_000  # real images shown to the discriminator
LEARNING_RATE = 5e-4  # of the generator, which has no equalised learning rate
STANDING = 100  # batches of 100 images for the standing statistics


def train_biggan(data: Path, out: Path, seed: int, settings: Settings) -> Path:
    """Train, resuming from `out`/checkpoint.pt if it exists, and write `out`/biggan-mnist.safetensors."""
    training = BigGANTraining(read_images(data, MNIST, "train"), seed, settings)
    run_training(training, out, settings.images, settings.report_every)
    path = out / "biggan-mnist.safetensors"
    recipe = f"python -m granu_zoo.train biggan-mnist --images {settings.images} --seed {seed}"
    finished = with_standing_statistics(cast(BigGAN, training.average), STANDING)
    for norm in norms(finished):  # weights files hold statistics as tables by truncation, here of one row
        norm.mean, norm.variance = norm.mean[None], norm.variance[None]
    sha256 = store(finished, path, "biggan", CONFIG.to_json(), recipe, seed, {"images": training.seen})
    print(f"sha256 {sha256} {path}")
    return path


class BigGANTraining(StyleGANTraining):
    """The training of the StyleGAN2 with a BigGAN in its place."""

    def __init__(self, data: tuple[Tensor, Tensor], seed: int, settings: Settings) -> None:
        super().__init__(data, seed, settings)
        self.generator = initialise(BigGAN(CONFIG))  # type: ignore[assignment]
        self.average = copy.deepcopy(self.generator)
        self.optimise_g = torch.optim.Adam(self.generator.parameters(), LEARNING_RATE, (0.0, 0.99))

    def decay_learning_rates(self) -> None:
        super().decay_learning_rates()
        share = self.optimise_d.param_groups[0]["lr"] / self.settings.learning_rate
        self.optimise_g.param_groups[0]["lr"] = LEARNING_RATE * share

    def render(self, classes: Tensor) -> Tensor:
        """Generate images of these classes; the norms use the statistics of the batch."""
        z = torch.randn(len(classes), CONFIG.z_dim)
        with half_precision():
            return self.generator(z, classes).float()

    def sheet(self) -> Image.Image:
        z = torch.randn(CLASSES * 10, CONFIG.z_dim, generator=torch.Generator().manual_seed(self.seed))
        with torch.no_grad():
            network = with_standing_statistics(cast(BigGAN, self.average), 10)
            return sheet_of(network(z, torch.arange(CLASSES).repeat_interleave(10)))

    def track_average(self) -> None:
        self.track(self.generator)  # norms get statistics of their own after the training


def initialise(network: BigGAN) -> BigGAN:
    """Initialise with orthogonal weights, as in the paper, and small weights from condition to gain and bias."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.orthogonal_(module.weight)
        if isinstance(module, ConditionalNorm):
            for part in (module.gain, module.bias):
                nn.init.normal_(part.weight, std=0.02)
    return network


def norms(network: BigGAN) -> list[Norm | ConditionalNorm]:
    """All batch norms of the network."""
    return [module for module in network.modules() if isinstance(module, Norm | ConditionalNorm)]


@torch.no_grad()
def with_standing_statistics(network: BigGAN, batches: int) -> BigGAN:
    """Copy the network with norm statistics averaged over `batches` batches of 100 images, in full precision."""
    result = copy.deepcopy(network).train()
    source = torch.Generator().manual_seed(0)
    for count in range(1, batches + 1):
        for norm in norms(result):
            norm.momentum = 1 / count  # makes the stored statistics the mean of all batches so far
        z = torch.randn(100, CONFIG.z_dim, generator=source)
        result(z, torch.arange(100) % CLASSES)
    return result.eval()
