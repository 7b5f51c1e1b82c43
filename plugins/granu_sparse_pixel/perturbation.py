"""The perturbation `sparse-pixel`: find, prune, refine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from granu import Batch, Classifier, Criterion, DataError, ImageEvidence, Proposal, Streams
from granu_sparse_pixel import SparsePixelOptions
from granu_sparse_pixel.bounds import PixelBounds, bounds_around
from granu_sparse_pixel.counted import choose, count_changes, merge
from granu_sparse_pixel.failure import FailureReason
from granu_sparse_pixel.passes import Passes
from granu_sparse_pixel.prune import prune
from granu_sparse_pixel.refine import refine
from granu_sparse_pixel.solver import Solver
from granu_sparse_pixel.sparsefool import sparsefool


class SparsePixel:
    """The fewest pixels whose change makes a classifier wrong."""

    unit = "pixels"

    def __init__(self, options: SparsePixelOptions) -> None:
        self.options = options

    def perturb(self, classifier: Classifier, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        """Images with few changed pixels; the size counts them, whatever the solver minimises."""
        options, clean = self.options, batch.images
        criterion = replace(criterion, margin=options.margin)
        region = None if options.mask is None else read_mask(options.mask, clean.shape[-2:])
        bounds = bounds_around(clean, options.delta, region)
        passes = Passes(classifier, len(clean), clean.device)
        found = sparsefool(
            passes,
            clean,
            criterion,
            bounds,
            solver=Solver(options.solver),
            lambda_=options.lambda_,
            classes=options.classes,
            loops=options.loops,
        )
        failed = found.failure != FailureReason.NONE
        images, rows = found.images, (~failed).nonzero().squeeze(1)
        if len(rows):
            images[rows] = self._sparser(
                passes, clean[rows], images[rows], found.normal[rows], criterion.select(rows), rows, bounds.select(rows)
            )
        pixels = count_changes(images, clean, pixels=True)
        return Proposal(
            evidence=ImageEvidence(images),
            size=torch.where(failed, torch.nan, pixels.float()),
            tried=torch.where(failed, found.tried, pixels).float(),
            forward=passes.forward,
            backward=passes.backward,
            notes=tuple(FailureReason(code).sentence for code in found.failure.tolist()),
            control=ImageEvidence(draw_pixels(clean, pixels, bounds, noise)),
        )

    def _sparser(
        self,
        passes: Passes,
        clean: Tensor,
        changed: Tensor,
        normal: Tensor,
        criterion: Criterion,
        rows: Tensor,
        bounds: PixelBounds,
    ) -> Tensor:
        options = self.options
        pixels = options.solver == Solver.PIXEL
        if options.prune:
            changed = prune(
                passes, clean, changed, criterion, rows, normal=normal, pixels=pixels, pruning_passes=options.prune
            )
        return refine(
            passes,
            clean,
            changed,
            criterion,
            rows,
            bounds,
            pixels=pixels,
            rounds=options.refine,
            pruning_passes=options.prune,
        )


def draw_pixels(clean: Tensor, count: Tensor, bounds: PixelBounds, noise: Streams) -> Tensor:
    """Move `count` (B,) random pixels of each image (B, C, H, W) that may change, each channel to a random bound."""
    _, C, H, W = clean.shape
    allowed = merge((bounds.upper > bounds.lower).int(), pixels=True) > 0
    order = noise.uniform(H * W).masked_fill(~allowed, 2.0)
    rank = order.argsort(dim=1).argsort(dim=1)
    bound = torch.where(noise.uniform(C, H, W) < 0.5, bounds.lower, bounds.upper)
    return choose(rank < count[:, None], bound, clean)


def read_mask(file: Path, shape: tuple[int, ...]) -> Tensor:
    """A grey image as bool (H, W), true where it is lighter than middle grey. DataError if it does not fit."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(file) as image:
            light = torch.from_numpy(np.array(image.convert("L"))) > 127
    except OSError as problem:
        raise DataError(f"cannot read the mask {file}: {problem}") from None
    if light.shape != shape:
        (height, width), (tall, wide) = light.shape, shape
        raise DataError(f"the mask {file} is {height} x {width} but the images are {tall} x {wide}; make it that size")
    if not light.any():
        raise DataError(f"the mask {file} is black, so nothing may change; make white what may")
    return light
