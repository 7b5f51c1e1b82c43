"""What fixes the shapes of a BigGAN, as plain data, free of torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LayerKind = Literal["residual", "bottleneck", "attention"]
Hierarchy = Literal["none", "chunks", "whole"]


@dataclass(frozen=True)
class LayerPlan:
    """One layer: a residual block (wide BigGAN), a bottleneck block (BigGAN-deep) or self-attention."""

    kind: LayerKind
    channels_in: int
    channels_out: int
    grow: bool = False  # twice the size on the way


@dataclass(frozen=True)
class BigGANConfig:
    """What fixes a BigGAN's shapes.

    z_dim        numbers in the latent z
    y_dim        numbers in the class vector y
    classes      how many classes
    layers       coarse to fine
    hierarchy    where z enters. none: only the linear layer. chunks: cut evenly, the first piece to the linear layer,
                 one piece with y to each block. whole: z with y to the linear layer and to every block
    bottom       side of the first canvas in pixels
    epsilon      added to variances before dividing by them
    channels     of the image: 1 for grey, 3 for colour
    """

    z_dim: int
    y_dim: int
    classes: int
    layers: tuple[LayerPlan, ...]
    hierarchy: Hierarchy
    bottom: int = 4
    epsilon: float = 1e-5
    channels: int = 3

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BigGANConfig:
        """The inverse of `to_json`; TypeError or ValueError where something is missing or unknown."""
        return cls(**{**values, "layers": tuple(LayerPlan(*layer) for layer in values["layers"])})

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the header of a weights file."""
        layers = [list(dataclasses.astuple(layer)) for layer in self.layers]
        return {**dataclasses.asdict(self), "layers": layers}

    @property
    def chunk(self) -> int:
        """Numbers of z that each block, and the linear layer, receives."""
        blocks = sum(layer.kind != "attention" for layer in self.layers)
        return self.z_dim // (blocks + 1) if self.hierarchy == "chunks" else self.z_dim

    @property
    def condition_dim(self) -> int:
        """Numbers that a block's norms listen to."""
        return self.y_dim if self.hierarchy == "none" else self.y_dim + self.chunk

    @property
    def linear_dim(self) -> int:
        """Numbers that the linear layer receives."""
        return self.condition_dim if self.hierarchy == "whole" else self.chunk

    @property
    def canvases(self) -> list[tuple[int, int, int]]:
        """(C, h, w) after the linear layer and after each layer."""
        side = self.bottom
        shapes = [(self.layers[0].channels_in, side, side)]
        for layer in self.layers:
            side *= 2 if layer.grow else 1
            shapes.append((layer.channels_out, side, side))
        return shapes
