"""Whole tiny pipelines that edit images, of random parts, saved as diffusers saves them; and a tiny CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from granu import without_broken_torchvision

with without_broken_torchvision():
    import diffusers
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        DDPMPipeline,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        FlowMatchEulerDiscreteScheduler,
        FluxKontextPipeline,
        FluxTransformer2DModel,
        StableDiffusionInstructPix2PixPipeline,
        StableDiffusionPipeline,
        StableDiffusionXLInstructPix2PixPipeline,
        UNet2DConditionModel,
        UNet2DModel,
    )
    from transformers import (
        CLIPConfig,
        CLIPModel,
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        CLIPVisionConfig,
        T5Config,
        T5EncoderModel,
        T5TokenizerFast,
    )

diffusers.utils.logging.disable_progress_bar()

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
VAE = {"block_out_channels": [8, 8], "norm_num_groups": 4, "latent_channels": 4, "sample_size": 16,
       "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}  # fmt: skip
UNET = {"sample_size": 8, "block_out_channels": (8, 8), "norm_num_groups": 4, "cross_attention_dim": 16,
        "layers_per_block": 1, "attention_head_dim": 2,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}  # fmt: skip
LAYERS = 8  # attentions of the transformer blocks of this U-Net: down 1, middle 1, up 2, each of self and cross


def tokenizer() -> CLIPTokenizer:
    """A tokenizer of single letters."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), BEGIN, END]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def text_config(**changes: Any) -> CLIPTextConfig:
    """Of a text encoder for this tokenizer."""
    size = len(tokenizer())
    return CLIPTextConfig(
        vocab_size=size, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=size - 2, eos_token_id=size - 1, pad_token_id=size - 1,
        projection_dim=8, **changes,
    )  # fmt: skip


def parts(in_channels: int, seed: int = 0) -> dict[str, Any]:
    """The parts of a Stable Diffusion."""
    torch.manual_seed(seed)
    return {
        "vae": AutoencoderKL(**VAE).eval(), "text_encoder": CLIPTextModel(text_config()).eval(),
        "tokenizer": tokenizer(), "unet": UNet2DConditionModel(in_channels=in_channels, **UNET).eval(),
        "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
    }  # fmt: skip


def stable_diffusion(seed: int = 0, **scheduler: Any) -> StableDiffusionPipeline:
    settings = SCHEDULE | {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1} | scheduler
    return _quiet(StableDiffusionPipeline(**parts(4, seed), scheduler=DDIMScheduler(**settings)))


def pix2pix() -> StableDiffusionInstructPix2PixPipeline:
    """Draws noise in every step."""
    return _quiet(
        StableDiffusionInstructPix2PixPipeline(**parts(8), scheduler=EulerAncestralDiscreteScheduler(**SCHEDULE))
    )


def pix2pix_xl() -> StableDiffusionXLInstructPix2PixPipeline:
    torch.manual_seed(1)
    changes = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "cross_attention_dim": 32,
               "projection_class_embeddings_input_dim": 6 * 8 + 8}  # fmt: skip
    return _quiet(
        StableDiffusionXLInstructPix2PixPipeline(
            vae=AutoencoderKL(**VAE).eval(), text_encoder=CLIPTextModel(text_config()).eval(),
            text_encoder_2=CLIPTextModelWithProjection(text_config()).eval(), tokenizer=tokenizer(),
            tokenizer_2=tokenizer(), unet=UNet2DConditionModel(in_channels=8, **(UNET | changes)).eval(),
            scheduler=EulerDiscreteScheduler(**SCHEDULE), add_watermarker=False,
        )
    )  # fmt: skip


def kontext() -> FluxKontextPipeline:
    """Edits one image at a time."""
    torch.manual_seed(4)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -2.0), *((chr(c), -3.0) for c in range(33, 127))]
    words = T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=32)
    text = T5Config(vocab_size=len(words), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    vae = {"use_quant_conv": False, "use_post_quant_conv": False, "shift_factor": 0.1, "scaling_factor": 1.0}
    transformer = FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    return _quiet(
        FluxKontextPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(), vae=AutoencoderKL(**(VAE | vae)).eval(),
            text_encoder=CLIPTextModel(text_config()).eval(), tokenizer=tokenizer(),
            text_encoder_2=T5EncoderModel(text).eval(), tokenizer_2=words, transformer=transformer.eval(),
        )
    )  # fmt: skip


def unconditional() -> DDPMPipeline:
    """No editor: it makes images without text."""
    torch.manual_seed(2)
    unet = UNet2DModel(sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
                       down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2)  # fmt: skip
    return _quiet(DDPMPipeline(unet, DDIMScheduler(**SCHEDULE)))


def save_clip(folder: Path) -> Path:
    """A CLIP of 8 x 8 images and its tokenizer."""
    torch.manual_seed(3)
    vision = CLIPVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                              image_size=8, patch_size=4, projection_dim=8)  # fmt: skip
    config = CLIPConfig(text_config=text_config().to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
