"""Editors that follow an instruction: InstructPix2Pix (Brooks et al. 2023) and the kinds in `families`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from granu_diffusion_edit.calling import generators, images_of, in_batches
from granu_diffusion_edit.engine import Edited, Frame
from granu_diffusion_edit.families import Call, Family
from granu_diffusion_edit.prompts import Prompt


class Instructed:
    """A pipeline of a family; the scale of the text leads from 1 at severity 0 to `guidance` at severity 1."""

    null_varies = True  # it is asked to keep the image at the guidance of that severity

    def __init__(
        self,
        pipeline: Any,
        family: Family,
        frame: Frame,
        *,
        steps: int,
        guidance: float | None,
        image_guidance: float,
        batch: int,
    ) -> None:
        self.pipeline, self.family, self.frame = pipeline, family, frame
        self.steps, self.image_guidance = steps, image_guidance
        self.guidance = family.guidance if guidance is None else guidance
        self.batch = 1 if family.alone else batch
        scales = f"guidance {self.guidance:g}" + (f" image {image_guidance:g}" if family.image_guidance else "")
        self.description = f"instruct steps {steps} {scales} keep '{family.keep}'"

    def edit(self, images: Tensor, prompts: Sequence[Prompt], seeds: Sequence[int], severity: float) -> Edited:
        """Edit at the guidance of this severity."""
        guidance = 1 + severity * (self.guidance - 1)
        call = Call(guidance, self.image_guidance, *images.shape[-2:])
        asked = [prompt.instruction or self.family.keep for prompt in prompts]
        arguments = self.family.arguments(call)

        def edited(part: slice) -> Tensor:
            return images_of(
                self.pipeline(
                    prompt=asked[part],
                    image=_as_pil(images[part]) if self.family.alone else images[part],
                    num_inference_steps=self.steps,
                    generator=generators(seeds[part]),
                    output_type="pt",
                    **arguments,
                )
            )

        return Edited(in_batches(len(images), self.batch, edited))


def _as_pil(images: Tensor) -> Any:
    """One image (1, 3, H, W) in [0, 1] as the editors of large models take it, whose processors read PIL images."""
    from PIL import Image

    pixels = (images[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels)
