"""Numbers about an edit of an image, by which results may be filtered afterwards; nothing is left out by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from granu import ssim
from granu_diffusion_edit.prompts import Prompt

COLLAPSED = 0.02  # standard deviation of all pixels below which an image shows nothing
SAME = 1e-6  # length of a difference of unit vectors that counts as none


class Embedder(Protocol):
    """Embeds images and texts in one space."""

    def images(self, images: Tensor) -> Tensor:
        """(B, D) of images (B, C, H, W) in [0, 1]."""

    def texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D) of texts."""


@dataclass(frozen=True)
class Scores:
    """Numbers by name, (B,) each, NaN where undefined, and the reason for that, image by image."""

    numbers: dict[str, Tensor]
    reasons: dict[str, tuple[str | None, ...]]


def pixel_scores(prepared: Tensor, unchanged: Tensor, edited: Tensor) -> Scores:
    """Distances of arms (B, C, H, W): `change` from the unchanged image, `floor` of that from the prepared one.

    `noop` is 1 where the edit is no further from the prepared image than the unchanged one is, `collapsed` 1 where the
    edit shows nothing. Distances are root mean squares in image units.
    """
    floor = _distance(prepared, unchanged)
    numbers = {
        "change": _distance(unchanged, edited),
        "floor": floor,
        "change_ssim": ssim(unchanged, edited),
        "noop": (_distance(prepared, edited) <= floor).float(),
        "collapsed": (edited.flatten(1).std(dim=1) < COLLAPSED).float(),
    }
    return Scores(numbers, {})


def clip_scores(embedder: Embedder, prepared: Tensor, edited: Tensor, prompts: Sequence[Prompt]) -> Scores:
    """Similarities of embeddings f of images x and g of captions p, before and after (') the edit.

    `clip_source` f(x).g(p), `clip_text` f(x').g(p'), `clip_image` f(x).f(x'), and `clip_direction`, the cosine of
    f(x') - f(x) and g(p') - g(p) (Gal et al. 2022; the filter of Brooks et al. 2023). A direction is undefined where
    image or caption did not change.
    """
    x, changed = (normalize(embedder.images(images).float(), dim=1) for images in (prepared, edited))
    p, asked = (normalize(embedder.texts(texts).float(), dim=1) for texts in _captions(prompts))
    moved, meant = changed - x, asked - p
    still, unasked = moved.norm(dim=1) < SAME, meant.norm(dim=1) < SAME
    direction = cosine_similarity(moved, meant, dim=1).masked_fill(still | unasked, torch.nan)
    numbers = {
        "clip_source": (x * p).sum(dim=1),
        "clip_text": (changed * asked).sum(dim=1),
        "clip_image": (x * changed).sum(dim=1),
        "clip_direction": direction,
    }
    reasons = tuple(
        "the captions before and after the edit are the same" if unasked[i]
        else "the edit did not change the image" if still[i] else None
        for i in range(len(prompts))
    )  # fmt: skip
    return Scores(numbers, {"clip_direction": reasons})


def _captions(prompts: Sequence[Prompt]) -> tuple[list[str], list[str]]:
    return [prompt.source for prompt in prompts], [prompt.target for prompt in prompts]


def _distance(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().flatten(1).mean(dim=1).sqrt()
