"""Recipe of the class-conditional diffusion model on MNIST, about 70 minutes on one thread of a CPU.

The last third of the training makes the classes distinct: the network learns to predict what classifier-free guidance
(Ho and Salimans 2022) would make of its predictions with and without a class, so that drawing needs one pass per step
instead of two (model guidance, Tang et al. 2025, arXiv:2502.12154, section 3).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from granu_zoo.train.data import read_images
from granu_zoo.train.diffusion import CLASSES, DiffusionSettings, DiffusionTraining, settings_of
from granu_zoo.train.store import store
from granu_zoo.train.training import run_training
from granu_zoo.trained_on import MNIST

__all__ = ["IMAGES", "train_diffusion"]

IMAGES = 270_000  # real images shown, with noise added, in both parts together
SCALE = 2.0  # of the guidance
RISE = 20_000  # images over which the guidance rises from none
EMPTY = CLASSES  # the embedding for no class
EMPTY_SHARE = 0.15  # of the images, which are shown without their class


def train_diffusion(data: Path, out: Path, seed: int, settings: DiffusionSettings) -> Path:
    """Train, resuming from the checkpoints in `out` if there are any, and write `out`/diffusion-mnist.safetensors."""
    digits = read_images(data, MNIST, "train")
    plain = DiffusionTraining(digits, seed, replace(settings, images=settings.images * 2 // 3))
    run_training(plain, out / "plain", plain.settings.images, settings.report_every)
    remaining = replace(settings, images=settings.images - plain.settings.images)
    guided = GuidedTraining(digits, seed, remaining, plain.average)
    run_training(guided, out / "guided", remaining.images, settings.report_every)

    path = out / "diffusion-mnist.safetensors"
    recipe = f"python -m granu_zoo.train diffusion-mnist --images {settings.images} --seed {seed}"
    config = {"unet": settings_of(guided.average), "scheduler": settings_of(guided.schedule)}
    finished = nn.ModuleDict({"unet": guided.average})
    sha256 = store(finished, path, "diffusion", config, recipe, seed, {"images": plain.seen + guided.seen})
    print(f"sha256 {sha256} {path}")
    return path


class GuidedTraining(DiffusionTraining):
    """Training with guidance of a network that was `trained` without; one more class stands for none."""

    def __init__(self, data: tuple[Tensor, Tensor], seed: int, settings: DiffusionSettings, trained: nn.Module) -> None:
        super().__init__(data, seed, settings, embedded=CLASSES + 1)
        state = dict(trained.state_dict())
        embedding = state["class_embedding.weight"]
        state["class_embedding.weight"] = torch.cat([embedding, embedding.mean(dim=0, keepdim=True)])
        self.network.load_state_dict(state)
        self.average.load_state_dict(state)

    def predict(self, noisy: Tensor, times: Tensor, classes: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """As without guidance, but the target goes on from the prediction without a class to the one with it."""
        shown = torch.where(torch.rand(len(classes)) < EMPTY_SHARE, EMPTY, classes)
        prediction = self.network(noisy, times, shown).sample
        with torch.no_grad():
            # nothing is added for images without their class, where both predictions are the same
            added = prediction - self.network(noisy, times, torch.full_like(classes, EMPTY)).sample
        return prediction, v + self.guidance_weight() * added

    def guidance_weight(self) -> float:
        """The weight at which a network that meets its target equals guidance by SCALE; it rises with training."""
        return (1 - 1 / SCALE) * min(1.0, self.seen / RISE)
