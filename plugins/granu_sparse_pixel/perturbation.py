"""`sparse-pixel` as the core meets it: find, prune, refine; say what was counted and what went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from granu import Batch, DataError, Goal, Perturbed
from granu.streams import Streams
from granu.types import Classifier
from granu_sparse_pixel import SparsePixelOptions
from granu_sparse_pixel.counted import choose, count_changes, merge
from granu_sparse_pixel.passes import Passes
from granu_sparse_pixel.prune import prune
from granu_sparse_pixel.refine import refine
from granu_sparse_pixel.room import Room, room_around
from granu_sparse_pixel.solver import Solver
from granu_sparse_pixel.sparsefool import sparsefool
from granu_sparse_pixel.trouble import Trouble


class SparsePixel:
    """The fewest pixels whose change makes a classifier wrong."""

    unit = "pixels"

    def __init__(self, options: SparsePixelOptions) -> None:
        self.options = options

    def perturb(self, classifier: Classifier, batch: Batch, goal: Goal, noise: Streams) -> Perturbed:
        """Pictures with few changed pixels; the size counts them, whatever the solver makes small."""
        options, clean = self.options, batch.images
        goal = replace(goal, margin=options.margin)
        region = None if options.mask is None else read_mask(options.mask, clean.shape[-2:])
        room = room_around(clean, options.delta, region)
        passes = Passes(classifier, len(clean), clean.device)
        found = sparsefool(
            passes,
            clean,
            goal,
            room,
            solver=Solver(options.solver),
            lambda_=options.lambda_,
            rivals=options.classes,
            loops=options.loops,
        )
        failed = found.trouble != Trouble.NONE
        pictures, rows = found.pictures, (~failed).nonzero().squeeze(1)
        if len(rows):
            pictures[rows] = self._sparser(
                passes, clean[rows], pictures[rows], found.normal[rows], goal.select(rows), rows, room.select(rows)
            )
        pixels = count_changes(pictures, clean, pixels=True)
        return Perturbed(
            pictures=pictures,
            size=torch.where(failed, torch.nan, pixels.float()),
            tried=torch.where(failed, found.looked, pixels).float(),
            forward=passes.forward,
            backward=passes.backward,
            notes=tuple(Trouble(code).sentence for code in found.trouble.tolist()),
            control=draw_pixels(clean, pixels, room, noise),
        )

    def _sparser(
        self, passes: Passes, clean: Tensor, changed: Tensor, normal: Tensor, goal: Goal, rows: Tensor, room: Room
    ) -> Tensor:
        options = self.options
        pixels = options.solver == Solver.PIXEL
        if options.prune:
            changed = prune(passes, clean, changed, goal, rows, normal=normal, pixels=pixels, looks=options.prune)
        return refine(
            passes,
            clean,
            changed,
            goal,
            rows,
            room,
            pixels=pixels,
            rounds=options.refine,
            looks=options.prune,
        )


def draw_pixels(clean: Tensor, count: Tensor, room: Room, noise: Streams) -> Tensor:
    """`count` (B,) random pixels of each picture (B, C, H, W) that may change, each channel at a random bound."""
    _, C, H, W = clean.shape
    allowed = merge((room.upper > room.lower).int(), pixels=True) > 0
    order = noise.uniform(H * W).masked_fill(~allowed, 2.0)
    rank = order.argsort(dim=1).argsort(dim=1)
    bound = torch.where(noise.uniform(C, H, W) < 0.5, room.lower, room.upper)
    return choose(rank < count[:, None], bound, clean)


def read_mask(file: Path, shape: tuple[int, ...]) -> Tensor:
    """A grey picture as truth values (H, W): where it is lighter than middle grey. DataError if it does not fit."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(file) as picture:
            light = torch.from_numpy(np.array(picture.convert("L"))) > 127
    except OSError as problem:
        raise DataError(f"cannot read the mask {file}: {problem}") from None
    if light.shape != shape:
        (height, width), (tall, wide) = light.shape, shape
        raise DataError(
            f"the mask {file} is {height} x {width} but the pictures are {tall} x {wide}; draw it at their size"
        )
    if not light.any():
        raise DataError(f"the mask {file} is black, so nothing may change; paint white what may")
    return light
