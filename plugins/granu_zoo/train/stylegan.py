"""Recipe of a class-conditional StyleGAN2 on MNIST, about an hour on one thread of a CPU.

Losses and schedule follow StyleGAN2-ADA (Karras et al. 2020b), without augmentation, style mixing or path length
regularisation: 60,000 digits are enough data. In experiments at this size, equalised learning rates and a minibatch
standard deviation over groups of one class were essential; without the groups each class kept one style for long.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

# Only recipes import another plugin: they make weights for its network, and granu never imports them.
from granu_stylegan.stylegan2 import StyleGAN2
from granu_zoo.train.data import read_images
from granu_zoo.train.discriminator import GROUP, Discriminator
from granu_zoo.train.store import store
from granu_zoo.train.training import Training, run_training, sheet_of
from granu_zoo.trained_on import MNIST

__all__ = ["Settings", "train_stylegan"]

CLASSES = 10
NETWORK = {
    "z_dim": 64,
    "c_dim": CLASSES,
    "w_dim": 64,
    "img_resolution": 32,
    "img_channels": 1,
    "mapping_layers": 4,
    "channel_base": 512,
    "channel_max": 64,
    "conv_clamp": None,
}


@dataclass(frozen=True)
class Settings:
    """Settings of the training. `images` counts the real images shown to the discriminator."""

    images: int = 440_000
    batch: int = 32
    learning_rate: float = 0.002
    decay: float = 0.25  # last share of the training, in which the learning rate decays linearly to zero
    r1_weight: float = 0.1
    r1_every: int = 16
    average_half_life: int = 20_000  # of the moving average of G, in images
    report_every: int = 20_000  # images between reports: a sheet of samples, a checkpoint and a line in the log


def train_stylegan(data: Path, out: Path, seed: int, settings: Settings) -> Path:
    """Train, resuming from `out`/checkpoint.pt if it exists, and write `out`/stylegan-mnist.safetensors."""
    training = StyleGANTraining(read_images(data, MNIST, "train"), seed, settings)
    run_training(training, out, settings.images, settings.report_every)
    path = out / "stylegan-mnist.safetensors"
    recipe = f"python -m granu_zoo.train stylegan-mnist --images {settings.images} --seed {seed}"
    sha256 = store(training.average, path, "stylegan2", NETWORK, recipe, seed, {"images": training.seen})
    print(f"sha256 {sha256} {path}")
    return path


class StyleGANTraining(Training):
    """State of the training: generator, discriminator, their optimisers and the moving average."""

    settings: Settings
    average: StyleGAN2

    def __init__(self, data: tuple[Tensor, Tensor], seed: int, settings: Settings) -> None:
        torch.manual_seed(seed)
        self.seed, self.settings, self.seen = seed, settings, 0
        self.images, labels = data
        self.members = [torch.nonzero(labels == digit)[:, 0] for digit in range(CLASSES)]
        self.generator = StyleGAN2(**NETWORK)  # type: ignore[arg-type]  # one dict, many types
        self.discriminator = Discriminator(CLASSES)
        self.average = copy.deepcopy(self.generator).eval()
        self.optimise_g = torch.optim.Adam(self.generator.parameters(), settings.learning_rate, (0.0, 0.99))
        self.optimise_d = torch.optim.Adam(self.discriminator.parameters(), settings.learning_rate, (0.0, 0.99))

    @property
    def parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "optimise_g": self.optimise_g,
            "optimise_d": self.optimise_d,
        }

    def step(self) -> dict[str, float]:
        """Train the discriminator and the generator for one step, and return the losses."""
        self.decay_learning_rates()
        lazy = (self.seen // self.settings.batch) % self.settings.r1_every == 0
        classes = self.draw_classes()
        with torch.no_grad():
            fake = self.render(classes)
        real = self.draw_real(classes)
        loss_d = F.softplus(self.score(fake, classes)).mean()
        loss_d = loss_d + F.softplus(-self.score(real, classes)).mean()
        penalty = self.r1(real, classes) if lazy else torch.zeros([])
        (loss_d + penalty * self.settings.r1_every).backward()
        self.optimise_d.step()
        self.optimise_d.zero_grad()

        classes = self.draw_classes()
        self.discriminator.requires_grad_(False)
        loss_g = F.softplus(-self.score(self.render(classes), classes)).mean()
        loss_g.backward()
        self.discriminator.requires_grad_(True)
        self.optimise_g.step()
        self.optimise_g.zero_grad()

        self.seen += self.settings.batch
        self.track_average()
        losses = {"loss_d": loss_d, "loss_g": loss_g} | ({"r1": penalty} if lazy else {})
        return {name: value.item() for name, value in losses.items()}

    def decay_learning_rates(self) -> None:
        """Reduce the learning rates near the end, so that the oscillation of the two networks decays."""
        left = 1 - self.seen / self.settings.images
        for optimiser in (self.optimise_g, self.optimise_d):
            optimiser.param_groups[0]["lr"] = self.settings.learning_rate * min(1.0, left / self.settings.decay)

    def draw_classes(self) -> Tensor:
        """Draw the classes of a batch (B,), equal in each GROUP of consecutive images."""
        return torch.randint(CLASSES, [self.settings.batch // GROUP]).repeat_interleave(GROUP)

    def draw_real(self, classes: Tensor) -> Tensor:
        """Draw real images of these classes, (B, 1, 32, 32) in [-1, 1]."""
        chosen = [members[torch.randint(len(members), [1])] for members in (self.members[c] for c in classes)]
        return self.images[torch.cat(chosen)].float() / 127.5 - 1

    def render(self, classes: Tensor) -> Tensor:
        """Generate images of these classes with random noise maps, and update the mean of w."""
        generator = self.generator
        z = torch.randn(len(classes), generator.z_dim)
        w = generator.mapping(z, F.one_hot(classes, CLASSES).float())
        generator.mapping.w_avg.lerp_(w.detach().mean(dim=0), 0.002)
        noises = [torch.randn(len(w), 1, *generator.noise(i).shape) for i in range(len(generator.layers))]
        with half_precision():
            return generator.synthesize(w, noises).float()

    def sheet(self) -> Image.Image:
        """Draw ten images of each class by the averaged generator, one row per class."""
        z = torch.randn(CLASSES * 10, self.average.z_dim, generator=torch.Generator().manual_seed(self.seed))
        labels = F.one_hot(torch.arange(CLASSES).repeat_interleave(10), CLASSES).float()
        with torch.no_grad():
            return sheet_of(self.average(z, labels))

    def score(self, images: Tensor, classes: Tensor) -> Tensor:
        """Discriminator logits (B,) of being real."""
        with half_precision():
            return self.discriminator(images.contiguous(memory_format=torch.channels_last), classes)

    def r1(self, real: Tensor, classes: Tensor) -> Tensor:
        """R1 penalty: squared gradient at real images (Mescheder et al. 2018), in full precision."""
        real = real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.discriminator(real, classes).sum(), real, create_graph=True)
        return self.settings.r1_weight / 2 * gradient.square().sum(dim=(1, 2, 3)).mean()

    def track_average(self) -> None:
        """Move the average towards the generator, whose buffers it takes over."""
        self.track(self.generator)
        for name, buffer in self.generator.named_buffers():
            self.average.get_buffer(name).copy_(buffer)


def half_precision() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)
