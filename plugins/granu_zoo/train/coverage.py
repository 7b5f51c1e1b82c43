"""Precision and recall of generated images: how many look real, and how much of the real variety is generated."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from granu import ImageClassifier

__all__ = ["NEIGHBOURS", "features", "precision_and_recall"]

NEIGHBOURS = 3


def precision_and_recall(real: Tensor, drawn: Tensor) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, section 2) of features (N, D) and (M, D).

    Precision is the share of drawn images that lie nearer to a real image than its third nearest real neighbour does;
    recall is the same with the roles exchanged.
    """
    return _share_inside(drawn, real), _share_inside(real, drawn)


def _share_inside(points: Tensor, centres: Tensor) -> float:
    """Share of `points` in a ball around one of the `centres` that reaches to its NEIGHBOURS-th nearest centre."""
    radii = torch.cdist(centres, centres).kthvalue(NEIGHBOURS + 1).values  # the nearest is the centre itself
    return (torch.cdist(points, centres) <= radii).any(dim=1).float().mean().item()


def features(classifier: ImageClassifier, images: Tensor) -> Tensor:
    """Inputs (N, D) of a classifier's last linear layer for images (N, C, H, W) in [0, 1]."""
    last = [module for module in classifier.network.modules() if isinstance(module, nn.Linear)][-1]
    taken: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda module, inputs: taken.append(inputs[0]))
    try:
        with torch.no_grad():
            for chunk in images.split(500):
                classifier(chunk)
    finally:
        hook.remove()
    return torch.cat(taken)
