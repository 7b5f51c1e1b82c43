"""Configuration of a BigGAN, as plain data without torch."""

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
    grow: bool = False  # doubles the size


@dataclass(frozen=True)
class BigGANConfig:
    """Configuration that determines all shapes of a BigGAN.

    z_dim        numbers in the latent z
    y_dim        numbers in the class vector y
    classes      number of classes
    layers       coarse to fine
    hierarchy    use of z. none: only in the linear layer. chunks: split evenly, the first chunk to the linear layer,
                 one chunk with y to each block. whole: z with y to the linear layer and to every block
    bottom       side of the first feature map in pixels
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
        """Invert `to_json`. TypeError, ValueError or KeyError if a value is missing or unknown."""
        return cls(**{**values, "layers": tuple(LayerPlan(*layer) for layer in values["layers"])})

    def to_json(self) -> dict[str, Any]:
        """Convert to plain data, for the header of a weights file."""
        layers = [list(dataclasses.astuple(layer)) for layer in self.layers]
        return {**dataclasses.asdict(self), "layers": layers}

    @property
    def chunk(self) -> int:
        """Size of the part of z that each block and the linear layer receive."""
        blocks = sum(layer.kind != "attention" for layer in self.layers)
        return self.z_dim // (blocks + 1) if self.hierarchy == "chunks" else self.z_dim

    @property
    def condition_dim(self) -> int:
        """Size of the condition of a block's norms."""
        return self.y_dim if self.hierarchy == "none" else self.y_dim + self.chunk

    @property
    def linear_dim(self) -> int:
        """Size of the linear layer's input."""
        return self.condition_dim if self.hierarchy == "whole" else self.chunk

    @property
    def feature_maps(self) -> list[tuple[int, int, int]]:
        """(C, h, w) after the linear layer and after each layer."""
        side = self.bottom
        shapes = [(self.layers[0].channels_in, side, side)]
        for layer in self.layers:
            side *= 2 if layer.grow else 1
            shapes.append((layer.channels_out, side, side))
        return shapes
