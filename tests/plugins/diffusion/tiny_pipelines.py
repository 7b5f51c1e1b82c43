"""Tiny random diffusion models: granu weights files, and pipelines of diffusers, saved as diffusers saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from granu import WeightsHeader, save_weights, without_broken_torchvision
from granu.plugins.catalog import Catalog
from granu.plugins.context import BuildContext
from granu_diffusion import DiffusionOptions, make
from granu_diffusion.generator import DiffusionGenerator

with without_broken_torchvision():
    import diffusers
    from diffusers import (
        AutoencoderKL,
        DDIMPipeline,
        DDIMScheduler,
        DiTPipeline,
        DiTTransformer2DModel,
        LDMPipeline,
        UNet2DModel,
        VQModel,
    )

diffusers.utils.logging.disable_progress_bar()

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
CLASSES = ("cat", "dog", "green snake, grass snake")
ENCODER = {"norm_num_groups": 4, "block_out_channels": [8, 8], "latent_channels": 4,
           "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}  # fmt: skip


def save_granu(
    file: Path, classes: tuple[str, ...] = (), scheduler: dict[str, Any] = SCHEDULER, **changes: Any
) -> Path:
    """A granu weights file of a U-Net."""
    header = WeightsHeader("diffusion", {"unet": UNET | changes, "scheduler": scheduler}, classes)
    save_weights(file, {f"unet.{name}": tensor for name, tensor in unet(**changes).state_dict().items()}, header)
    return file


def ddim(scheduler: dict[str, Any] = SCHEDULER, **changes: Any) -> DDIMPipeline:
    """A U-Net of grey images."""
    return _quiet(DDIMPipeline(unet(**changes), DDIMScheduler(**scheduler)))


def dit(**changes: Any) -> DiTPipeline:
    """A DiT of a thousand classes, as its pipeline demands, three of them named."""
    torch.manual_seed(1)
    settings = {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8, "num_layers": 2,
                "sample_size": 4, "num_embeds_ada_norm": 1000, "norm_num_groups": 4}  # fmt: skip
    transformer = _stirred(DiTTransformer2DModel(**(settings | changes)))
    names = {i: CLASSES[i] if i < len(CLASSES) else f"class {i}" for i in range(1000)}
    return _quiet(DiTPipeline(transformer, AutoencoderKL(**ENCODER).eval(), DDIMScheduler(**SCHEDULER), names))


def latent_diffusion() -> LDMPipeline:
    """A U-Net of latents of a VQModel."""
    torch.manual_seed(2)
    network = unet(in_channels=4, out_channels=4)
    vqvae = VQModel(**(ENCODER | {"num_vq_embeddings": 16})).eval()
    return _quiet(LDMPipeline(vqvae=vqvae, unet=network, scheduler=DDIMScheduler(**SCHEDULER)))


def unet(**changes: Any) -> UNet2DModel:
    """A U-Net from a seed."""
    torch.manual_seed(0)
    return _stirred(UNet2DModel(**(UNET | changes)))


def build(weights: Path, **options: Any) -> DiffusionGenerator:
    """The generator of these weights, by default of five steps."""
    settings = {"sampling_steps": 5} | options
    return make(DiffusionOptions(weights=str(weights), **settings), BuildContext(Catalog()))  # type: ignore[no-any-return]


def edit_json(file: Path, **changes: Any) -> None:
    """Change values in a JSON file; None removes one."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def _stirred(network: Any) -> Any:
    """Networks in which nothing is exactly zero, as in an untrained one, so that every input has an effect."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return network.eval()


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
