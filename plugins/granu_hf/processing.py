"""Resizing and cropping as an image processor's configuration describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from granu import ClassifierError, Cropping


def read_cropping(processor: Mapping[str, Any], name: str) -> Cropping:
    """Read the cropping from a `preprocessor_config.json`. ClassifierError if it has no size."""
    mode = {2: "bilinear", 3: "bicubic"}.get(processor.get("resample", 2), "bicubic")
    size = processor.get("size", processor.get("crop_size"))
    size = {"height": size, "width": size} if isinstance(size, int) else size or {}
    if "shortest_edge" in size:
        edge = int(size["shortest_edge"])
        if "crop_pct" in processor and edge < 384:  # as ConvNeXt's processor does
            larger = int(edge / processor["crop_pct"])
            return Cropping((edge, edge), (larger, larger), mode)
        crop = _pair(processor.get("crop_size"), edge) if processor.get("do_center_crop") else (edge, edge)
        return Cropping(crop, (edge, edge), mode)
    if "height" not in size or "width" not in size:
        raise ClassifierError(f"the preprocessor_config.json of `{name}` has no size; add one")
    whole = (int(size["height"]), int(size["width"]))
    crop = _pair(processor.get("crop_size"), *whole) if processor.get("do_center_crop") else whole
    return Cropping(crop, whole, mode, squash=True)


def _pair(size: Any, height: int, width: int | None = None) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and "height" in size:
        return int(size["height"]), int(size["width"])
    return height, height if width is None else width
