"""Training loop of the generators, with a log, sheets of samples and checkpoints."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

__all__ = ["run_training", "sheet_of"]


class Training(Protocol):
    """State of a training that can be saved and restored between steps."""

    seen: int  # real images shown to the discriminator

    def step(self) -> dict[str, float]: ...
    def sheet(self) -> Image.Image: ...
    def state(self) -> dict[str, object]: ...
    def restore(self, state: dict) -> None: ...


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
