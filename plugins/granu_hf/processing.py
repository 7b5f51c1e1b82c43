"""What an image processor does to a picture's size, as a differentiable part of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from granu import ClassifierError
from granu.pictures import resize


@dataclass(frozen=True)
class Fitting:
    """Resize to `height` x `width` (or the shorter side to `shorter`), then cut out the middle `crop`."""

    shorter: int | None
    height: int
    width: int
    crop: tuple[int, int]
    mode: str


def read_fitting(processor: Mapping[str, Any], name: str) -> Fitting:
    """The sizes of a `preprocessor_config.json`. ClassifierError where it names none."""
    mode = {2: "bilinear", 3: "bicubic"}.get(processor.get("resample", 2), "bicubic")
    size = processor.get("size", processor.get("crop_size"))
    size = {"height": size, "width": size} if isinstance(size, int) else size or {}
    if "shortest_edge" in size:
        edge = int(size["shortest_edge"])
        if "crop_pct" in processor and edge < 384:  # as ConvNeXt's processor reads its own numbers
            return Fitting(int(edge / processor["crop_pct"]), 0, 0, (edge, edge), mode)
        crop = _pair(processor.get("crop_size"), edge) if processor.get("do_center_crop") else (edge, edge)
        return Fitting(edge, 0, 0, crop, mode)
    if "height" not in size or "width" not in size:
        raise ClassifierError(f"the preprocessor_config.json of `{name}` names no size; add one there")
    whole = (int(size["height"]), int(size["width"]))
    crop = _pair(processor.get("crop_size"), *whole) if processor.get("do_center_crop") else whole
    return Fitting(None, *whole, crop, mode)


class Processed(nn.Module):
    """A network that takes pictures of any size. One that has the network's size already is taken as it is."""

    def __init__(self, network: nn.Module, fitting: Fitting) -> None:
        super().__init__()
        self.network, self.fitting = network, fitting

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to logits (B, K)."""
        if images.shape[-2:] != self.fitting.crop:
            images = self._fit(images)
        return self.network(images).logits

    def _fit(self, images: Tensor) -> Tensor:
        height, width = self.fitting.height, self.fitting.width
        if self.fitting.shorter is not None:
            scale = self.fitting.shorter / min(images.shape[-2:])
            height, width = (round(side * scale) for side in images.shape[-2:])
        images = resize(images, height, width, self.fitting.mode)
        top, left = (height - self.fitting.crop[0]) // 2, (width - self.fitting.crop[1]) // 2
        return images[..., top : top + self.fitting.crop[0], left : left + self.fitting.crop[1]]


def _pair(size: Any, height: int, width: int | None = None) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and "height" in size:
        return int(size["height"]), int(size["width"])
    return height, height if width is None else width
