"""Tiny random diffusion models, built with diffusers and saved as it saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from granu import WeightsHeader, save_weights, without_broken_torchvision

with without_broken_torchvision():
    from diffusers import UNet2DModel

UNET = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 8,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}
SCHEDULER = {"num_train_timesteps": 1000, "clip_sample": False}


def unet(seed: int = 0, **changes: Any) -> UNet2DModel:
    torch.manual_seed(seed)
    return UNet2DModel(**(UNET | changes)).eval()


def save_granu(
    file: Path, classes: tuple[str, ...] = (), scheduler: dict[str, Any] = SCHEDULER, **changes: Any
) -> Path:
    """A granu weights file of a U-Net."""
    network = unet(**changes)
    header = WeightsHeader("diffusion", {"unet": UNET | changes, "scheduler": scheduler}, classes)
    save_weights(file, {f"unet.{name}": tensor for name, tensor in network.state_dict().items()}, header)
    return file
