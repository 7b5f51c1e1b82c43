"""Images of named classes, a classifier for them, and what a perturbation makes of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from granu import Batch, Criterion, Proposal, Streams, quantize
from granu_diffusion_edit.perturbation import DiffusionEdit


class Bright:
    """Three classes that no test needs to be right about."""

    classes = ("cat", "dog", "truck")

    def __init__(self, named: bool = True) -> None:
        self.named = named

    def __call__(self, images: Tensor) -> Tensor:
        return torch.stack([images.mean((1, 2, 3)), images.std((1, 2, 3)), images.amax((1, 2, 3))], dim=1)

    def layers(self) -> dict[str, Any]:
        return {}


def images_of(count: int, channels: int, height: int, width: int) -> Batch:
    """Smooth random images of the classes in turn."""
    noise = torch.rand(count, channels, 3, 3, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(noise, (height, width), mode="bilinear", align_corners=True)
    return Batch(quantize(images), torch.arange(count) % 3, tuple(f"image {i}" for i in range(count)))


def perturbed(edit: DiffusionEdit, batch: Batch, classifier: Any = None, seed: int = 0) -> Proposal:
    """The proposal of a perturbation."""
    streams = Streams(seed, batch.ids, "perturb")
    return edit.perturb(classifier or Bright(), batch, Criterion(batch.labels), streams)
