"""Training loop of the generators, with a log, sheets of samples and checkpoints."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

__all__ = ["Training", "run_training", "sheet_of"]


class Training(ABC):
    """A training that can be saved and restored between steps, with a moving average of the trained network."""

    settings: Any  # a dataclass with `batch` and `average_half_life`, in images
    seen: int  # real images shown
    average: nn.Module

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]:
        """The networks and optimisers, by the names that they have in checkpoints."""

    @abstractmethod
    def step(self) -> dict[str, float]:
        """Train on one batch, and return the losses."""

    @abstractmethod
    def sheet(self) -> Image.Image:
        """Draw ten images of each class by the averaged network, one row per class."""

    def state(self) -> dict[str, object]:
        state: dict[str, object] = {name: part.state_dict() for name, part in self.parts.items()}
        return state | {"seen": self.seen, "random": torch.get_rng_state(), "settings": asdict(self.settings)}

    def restore(self, state: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.seen = state["seen"]
        torch.set_rng_state(state["random"])

    def track(self, network: nn.Module) -> None:
        """Move the averaged parameters towards those of the network."""
        # a shorter half-life at first, so that the average forgets the random initialisation
        half_life = min(self.settings.average_half_life, 0.05 * self.seen)
        keep = 0.5 ** (self.settings.batch / half_life)
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), network.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)


def run_training(training: Training, out: Path, images: int, every: int) -> None:
    """Train until `images` are seen, resuming from `out`/checkpoint.pt if it exists; report every `every` images."""
    out.mkdir(parents=True, exist_ok=True)
    if (out / "checkpoint.pt").exists():
        training.restore(torch.load(out / "checkpoint.pt", weights_only=True))
    started, resumed_at = time.time(), training.seen
    while training.seen < images:
        before = training.seen
        losses = training.step()
        if training.seen // every > before // every or training.seen >= images:
            speed = (training.seen - resumed_at) / (time.time() - started)
            _report(training, out, losses, speed)


def _report(training: Training, out: Path, losses: dict[str, float], speed: float) -> None:
    numbers = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
    line = f"images {training.seen} {numbers} images/s {speed:.0f}"
    print(line, flush=True)
    with (out / "log.txt").open("a") as log:
        log.write(line + "\n")
    training.sheet().save(out / f"sheet-{training.seen:07d}.png")
    partial = out / "checkpoint.partial"
    torch.save(training.state(), partial)
    partial.replace(out / "checkpoint.pt")  # atomic: an interruption leaves the old checkpoint or the new one


def sheet_of(images: Tensor) -> Image.Image:
    """Arrange grey images (10 * rows, 1, H, W) in [-1, 1] in rows of ten."""
    rows, (height, width) = len(images) // 10, images.shape[-2:]
    sheet = images.view(rows, 10, height, width).permute(0, 2, 1, 3).reshape(rows * height, 10 * width)
    return Image.fromarray(((sheet.clamp(-1, 1) + 1) * 127.5).round().byte().numpy())
