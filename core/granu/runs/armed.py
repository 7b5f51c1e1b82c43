"""Verdicts on a change at fixed sizes, beside those on images that the perturbation's model was to leave unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from granu.runs.judge import JudgedLevels, judge, judge_levels
from granu.runs.trials import NOT_ENCODED, PREPARED, RECONSTRUCTION, RECONSTRUCTION_WRONG, SOURCE
from granu.types import Arms, Batch, Classifier, Evidence


@dataclass(frozen=True)
class LeftOut:
    """The reason why an image enters no rate; `predicted` is the class that a wrong arm was given."""

    outcome: str
    predicted: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class ArmedLevels:
    """The judged change, and what it is compared with.

    The change at a size counts for an image if the unchanged images of that size and of all smaller ones are classified
    correctly. `tried` is the largest size that counts, 0 where none does.
    """

    levels: JudgedLevels
    begin: Tensor  # (B, C, H, W) the unchanged image of the size that was judged, quantized to 8 bits
    tried: Tensor  # (B,)
    unchanged: Mapping[float, Tensor]  # size -> (B,) int64, the class given to the unchanged image
    arms: tuple[Mapping[str, int], ...]
    left_out: tuple[LeftOut | None, ...]


def judge_armed(
    levels: Mapping[float, Evidence], arms: Arms, classifier: Classifier, batch: Batch, name: str
) -> ArmedLevels:
    """Judge a change at each size and the arms beside it. ValueError where the sizes of the two are not the same."""
    sizes, labels = sorted(levels), batch.labels
    if sorted(arms.unchanged) != sizes:
        raise ValueError(f"it returned changes at {sizes}, and unchanged images at {sorted(arms.unchanged)}")
    prepared = judge(arms.prepared, classifier, batch.images, name)
    unchanged = [judge(arms.unchanged[size], classifier, batch.images, name) for size in sizes]
    right = torch.stack([(one.verdict.predicted == labels) & ~one.unusable for one in unchanged])  # (L, B)
    counting = right.int().cumprod(dim=0).sum(dim=0)  # (B,) sizes before the first that is lost
    last = (counting - 1).clamp_min(0)
    judged = judge_levels(levels, classifier, batch.images, labels, name, last)
    chosen = torch.tensor([sizes.index(size) for size in _known(judged.size, sizes)], device=labels.device)
    images = torch.stack([_images(one.images, batch.images) for one in unchanged])
    rows = torch.arange(len(labels), device=labels.device)
    described = tuple(
        {
            SOURCE: int(labels[i]),
            PREPARED: int(prepared.verdict.predicted[i]),
            RECONSTRUCTION: int(unchanged[0].verdict.predicted[i]),
        }
        for i in range(len(labels))
    )
    return ArmedLevels(
        judged,
        images[chosen, rows],
        torch.where(counting > 0, torch.tensor(sizes, device=labels.device)[last], 0),
        {size: one.verdict.predicted.masked_fill(one.unusable, -1) for size, one in zip(sizes, unchanged, strict=True)},
        described,
        tuple(_left_out(arms.reasons[i], described[i], int(labels[i])) for i in range(len(labels))),
    )


def _left_out(reason: str | None, arms: Mapping[str, int], label: int) -> LeftOut | None:
    if reason is not None:
        return LeftOut(NOT_ENCODED, note=reason)
    wrong = [arms[arm] for arm in (PREPARED, RECONSTRUCTION) if arms[arm] != label]
    return LeftOut(RECONSTRUCTION_WRONG, wrong[0]) if wrong else None


def _known(size: Tensor, sizes: list[float]) -> list[float]:
    """The entries of `sizes` that a tensor of single precision stands for."""
    return [min(sizes, key=lambda known: abs(known - float(one))) for one in size]


def _images(images: Tensor | None, like: Tensor) -> Tensor:
    return like if images is None else images
