"""Instruction editors of diffusers in one table: how each is called, and what its arguments are named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

KEEP = "keep the image exactly as it is"
INVERTIBLE = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")  # pipelines that engine=nulltext-p2p inverts


@dataclass(frozen=True)
class Call:
    """The numbers of one call: text guidance, image guidance, and the size inside the model."""

    guidance: float
    image_guidance: float
    height: int
    width: int


@dataclass(frozen=True)
class Family:
    """The call of pipelines of one kind; `arguments` gives what differs from kind to kind."""

    steps: int  # by default
    guidance: float  # of the text, by default
    arguments: Callable[[Call], Mapping[str, Any]]
    image_guidance: bool = False
    alone: bool = False  # it edits one image at a time; a list of images means something else
    size: int = 0  # of the shorter side where the pipeline does not say; 0 is by its U-Net
    keep: str = ""  # the instruction that asks for no change


def _pix2pix(call: Call) -> dict[str, Any]:
    return {"guidance_scale": call.guidance, "image_guidance_scale": call.image_guidance}


def _pix2pix_xl(call: Call) -> dict[str, Any]:
    return {**_pix2pix(call), "height": call.height, "width": call.width}


def _kontext(call: Call) -> dict[str, Any]:
    """Without _auto_resize the image keeps its size; otherwise it would be brought to about a megapixel."""
    size = {"height": call.height, "width": call.width, "max_area": call.height * call.width}
    return {"guidance_scale": call.guidance, "_auto_resize": False, **size}


def _qwen(call: Call) -> dict[str, Any]:
    """Guidance needs a negative prompt beside its scale; `guidance_scale` does nothing here."""
    return {"true_cfg_scale": call.guidance, "negative_prompt": " ", "height": call.height, "width": call.width}


FAMILIES: Mapping[str, Family] = {
    "StableDiffusionInstructPix2PixPipeline": Family(100, 7.5, _pix2pix, image_guidance=True),
    "StableDiffusionXLInstructPix2PixPipeline": Family(100, 5.0, _pix2pix_xl, image_guidance=True),
    "FluxKontextPipeline": Family(28, 3.5, _kontext, alone=True, size=1024, keep=KEEP),
    "QwenImageEditPipeline": Family(50, 4.0, _qwen, alone=True, size=1024, keep=KEEP),
    "QwenImageEditPlusPipeline": Family(50, 4.0, _qwen, alone=True, size=1024, keep=KEEP),
}


def family_of(pipeline: str) -> Family | None:
    """The family of a pipeline's class; None where it is no instruction editor."""
    return FAMILIES.get(pipeline)
