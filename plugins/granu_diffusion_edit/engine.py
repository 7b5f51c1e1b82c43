"""The protocol of engines, which is all that the rest of the plugin knows of diffusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from granu_diffusion_edit.prompts import Prompt


@dataclass(frozen=True)
class Edited:
    """Edited images, and numbers about how they were made, (B,) each."""

    images: Tensor  # (B, 3, H, W), about [0, 1]; may hold NaN where the model failed
    facts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """The sizes that a model takes: the shorter side, and what both sides are multiples of."""

    shorter: int
    multiple: int

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """The size inside the model for images of this size, of nearly the same proportions."""
        scale = self.shorter / min(height, width)
        high, wide = (max(1, round(length * scale / self.multiple)) * self.multiple for length in (height, width))
        return high, wide


class Engine(Protocol):
    """Edits images by text. An image's result depends on the image, its prompt and its seed alone."""

    description: str  # all that shapes its images beside weights, prompt, seed and severity
    frame: Frame
    null_varies: bool  # True if the image without a change depends on the severity

    def edit(self, images: Tensor, prompts: Sequence[Prompt], seeds: Sequence[int], severity: float) -> Edited:
        """Edit images (B, 3, H, W) in [0, 1] of a size that fits the frame, at a severity in (0, 1]."""
