"""Small trainable classifiers of the tiny world."""

from __future__ import annotations

import torch
from torch import nn

from granu import ImageClassifier
from granu.testing import tiny


def tiny_network(*, normalised: bool = False, seed: int = 0) -> ImageClassifier:
    """Two layers, with or without batch normalisation between them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        between = [nn.BatchNorm1d(16)] if normalised else []
        layers = [nn.Flatten(), nn.Linear(64, 16), *between, nn.Tanh(), nn.Linear(16, 3)]
    return ImageClassifier(nn.Sequential(*layers), tiny.CLASSES, channels=1, size=(8, 8), fit="pad", name="tiny")
