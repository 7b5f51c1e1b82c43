"""The mean of the logits of several routes of one trained network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class MeanOfRoutes(nn.Module):
    """Runs the network of every route, each a child of its name, and averages their logits."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)

    def forward(self, images: Tensor) -> Tensor:
        """The network's input (B, C, H, W), already normalised, to logits (B, K)."""
        outputs = [network(images) for network in self.networks.values()]
        return torch.stack([getattr(output, "logits", output).float() for output in outputs]).mean(dim=0)
