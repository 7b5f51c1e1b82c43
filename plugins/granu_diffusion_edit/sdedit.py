"""Image-to-image at a strength (Meng et al. 2022): noise is added to the image, and removed under the target prompt."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from granu_diffusion_edit.calling import generators, images_of, in_batches
from granu_diffusion_edit.engine import Edited, Frame
from granu_diffusion_edit.prompts import Prompt


class ImageToImage:
    """Any pipeline of `AutoPipelineForImage2Image`; severity 1 runs the share `strength` of the steps."""

    null_varies = True  # without a change, the image is still sampled anew from the noise of that severity

    def __init__(
        self, pipeline: Any, frame: Frame, *, steps: int, strength: float, guidance: float | None, batch: int
    ) -> None:
        self.pipeline, self.frame, self.batch = pipeline, frame, batch
        self.steps, self.strength = steps, strength
        self.known = inspect.signature(pipeline.__call__).parameters
        # few-step models take 0: then the pipeline has no use for a second pass
        self.guidance = {} if guidance is None else {"guidance_scale": guidance}
        self.description = f"sdedit steps {steps} strength {strength:g} guidance {guidance}"

    def edit(self, images: Tensor, prompts: Sequence[Prompt], seeds: Sequence[int], severity: float) -> Edited:
        """Edit at the strength of this severity."""

        def call(part: slice) -> Tensor:
            size = {"height": images.shape[-2], "width": images.shape[-1]}
            return images_of(
                self.pipeline(
                    prompt=[prompt.target for prompt in prompts[part]],
                    image=images[part],
                    strength=self.strength * severity,
                    num_inference_steps=self.steps,
                    generator=generators(seeds[part]),
                    output_type="pt",
                    **self.guidance,
                    **{key: value for key, value in size.items() if key in self.known},
                )
            )

        return Edited(in_batches(len(images), self.batch, call))
