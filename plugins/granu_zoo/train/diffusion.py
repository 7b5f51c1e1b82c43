"""Training of a class-conditional diffusion model on MNIST, the first two thirds of its recipe.

The network is diffusers' UNet2DModel, trained to predict v (Salimans and Ho 2022, appendix D), which stays accurate
with few deterministic steps, under the cosine schedule of Nichol and Dhariwal (2021). Noise levels are stratified over
each batch (Kingma et al. 2021, appendix I.1), which makes the loss of small batches less noisy.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from granu import without_broken_torchvision
from granu_zoo.train.training import Training, sheet_of

__all__ = ["DiffusionSettings", "DiffusionTraining", "settings_of"]

CLASSES = 10
NETWORK = {
    "sample_size": 32,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (16, 32, 64, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
    "attention_head_dim": 32,
    "norm_num_groups": 8,
}
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": False,  # clipping cannot be inverted
    "timestep_spacing": "trailing",  # starts at the last timestep, where nothing but noise is left
}
DRAWING_STEPS = 25  # of the sheets


@dataclass(frozen=True)
class DiffusionSettings:
    """Settings of the training. `images` counts the real images shown, with noise added."""

    images: int = 180_000
    batch: int = 32
    learning_rate: float = 1e-3
    warm_up: int = 5_000  # images over which the learning rate rises
    decay: float = 0.5  # last share of the training, in which the learning rate decays linearly to zero
    clip: float = 1.0  # largest norm of the gradient
    average_half_life: int = 10_000  # of the moving average of the network, in images
    report_every: int = 20_000


class DiffusionTraining(Training):
    """State of the training: the network, its optimiser and the moving average."""

    settings: DiffusionSettings

    def __init__(
        self, data: tuple[Tensor, Tensor], seed: int, settings: DiffusionSettings, embedded: int = CLASSES
    ) -> None:
        torch.manual_seed(seed)
        self.seed, self.settings, self.seen = seed, settings, 0
        self.images, self.labels = data
        with without_broken_torchvision():  # diffusers imports its classes when they are first used
            diffusers: Any = import_module("diffusers")
            self.schedule: Any = diffusers.DDIMScheduler(**SCHEDULE)
            self.network: nn.Module = diffusers.UNet2DModel(**NETWORK, num_class_embeds=embedded)
        self.average = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), settings.learning_rate, weight_decay=0.01)

    @property
    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {"network": self.network, "average": self.average, "optimiser": self.optimiser}

    def step(self) -> dict[str, float]:
        """Train the network on one batch, and return the loss."""
        self.optimiser.param_groups[0]["lr"] = self.settings.learning_rate * self.share_of_learning_rate()
        chosen = torch.randint(len(self.images), [self.settings.batch])
        x0 = self.images[chosen].float() / 127.5 - 1  # (B, 1, 32, 32)
        times, noise = self.draw_times(), torch.randn_like(x0)
        noisy = self.schedule.add_noise(x0, noise, times)
        v = self.schedule.get_velocity(x0, noise, times)
        loss = F.mse_loss(*self.predict(noisy, times, self.labels[chosen], v))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()

        self.seen += self.settings.batch
        self.track(self.network)
        return {"loss": loss.item()}

    def predict(self, noisy: Tensor, times: Tensor, classes: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The network's prediction and its target, both (B, 1, 32, 32)."""
        return self.network(noisy, times, classes).sample, v

    def share_of_learning_rate(self) -> float:
        """Share of the highest learning rate: a linear rise at the beginning and decay at the end."""
        left = 1 - self.seen / self.settings.images
        return min(1.0, (self.seen + self.settings.batch) / self.settings.warm_up, left / self.settings.decay)

    def draw_times(self) -> Tensor:
        """Draw timesteps (B,), one in each of B equal parts of the schedule."""
        batch = self.settings.batch
        return ((torch.arange(batch) + torch.rand([])) / batch * len(self.schedule.betas)).long()

    def sheet(self) -> Image.Image:
        """Draw ten images of each class by the averaged network, one row per class."""
        x = torch.randn(CLASSES * 10, 1, 32, 32, generator=torch.Generator().manual_seed(self.seed))
        return sheet_of(self.draw(x, torch.arange(CLASSES).repeat_interleave(10)))

    @torch.no_grad()
    def draw(self, x: Tensor, classes: Tensor) -> Tensor:
        """Turn noise x (B, 1, 32, 32) into images in [-1, 1] by deterministic steps (DDIM, Song et al. 2021)."""
        self.schedule.set_timesteps(DRAWING_STEPS)
        for time in self.schedule.timesteps:
            v = self.average(x, time, classes).sample
            x = self.schedule.step(v, time, x).prev_sample
        return x.clamp(-1, 1)


def settings_of(part: Any) -> Mapping[str, Any]:
    """All settings of a network or schedule of diffusers, by which another version builds the same one."""
    private = ("_use_default_values", "_name_or_path", "_diffusers_version")
    return {"_class_name": type(part).__name__} | {k: v for k, v in part.config.items() if k not in private}
