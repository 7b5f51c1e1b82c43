"""Preparation of images and class names that all sources share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from granu import DataError, fit_channels, resize
from granu_datasets import ImageOptions


def prepare(image: Tensor, options: ImageOptions) -> Tensor:
    """Convert an image (C, H, W) in [0, 1] to the colour and size of the options."""
    if options.colour != "keep":
        image = fit_channels(image[None], 3 if options.colour == "rgb" else 1)[0]
    if options.size is not None:
        image = square(image, options.size)
    return image


def square(image: Tensor, side: int) -> Tensor:
    """Resize the shorter side to `side` and crop the central square, (C, side, side)."""
    height, width = image.shape[-2:]
    share = side / min(height, width)
    if share != 1:
        image = resize(image[None], round(height * share), round(width * share))[0].clamp(0, 1)
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    return image[:, top : top + side, left : left + side]


def renamed(classes: Sequence[str], options: ImageOptions) -> tuple[str, ...]:
    """Rename classes by the table `names`. DataError if a class is missing there."""
    if options.names is None:
        return tuple(classes)
    table = {}
    for number, line in enumerate(options.names.expanduser().read_text().splitlines(), 1):
        ours, tab, theirs = line.partition("\t")
        if line.strip() and not tab:
            raise DataError(
                f"line {number} of {options.names} has no tab; write: name here, tab, name for the classifier"
            )
        table[ours.strip()] = theirs.strip()
    missing = [name for name in classes if name not in table]
    if missing:
        raise DataError(f"{options.names} has no line for the class '{missing[0]}' ({len(missing)} are missing)")
    return tuple(table[name] for name in classes)
