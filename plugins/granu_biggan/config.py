"""Configuration of a BigGAN, as plain data without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from granu import shown

MOST = 1 << 24  # of any number of channels, dimensions or classes: far more than any network has
MOST_LAYERS = 1 << 10
MOST_GROWING = 10
LARGEST_BOTTOM = 64

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
    last_epsilon epsilon of the norm before the image; None for the same
    """

    z_dim: int
    y_dim: int
    classes: int
    layers: tuple[LayerPlan, ...]
    hierarchy: Hierarchy
    bottom: int = 4
    epsilon: float = 1e-5
    channels: int = 3
    last_epsilon: float | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BigGANConfig:
        """Invert `to_json`. TypeError, ValueError or KeyError if a value is missing, unknown or impossible."""
        made = cls(**{**values, "layers": tuple(LayerPlan(*layer) for layer in values["layers"])})
        made.check()
        return made

    def check(self) -> None:
        """ValueError if a value is of another type, or none that a network can have."""
        _check_whole("classes", self.classes, MOST)
        for name in ("z_dim", "y_dim", "bottom", "channels"):
            _check_whole(name, getattr(self, name), MOST if name.endswith("dim") else LARGEST_BOTTOM)
        if not 0 < len(self.layers) <= MOST_LAYERS:
            raise ValueError(f"it has {len(self.layers)} layers, not 1 to {MOST_LAYERS}")
        for plan in self.layers:
            if plan.kind not in get_args(LayerKind) or not isinstance(plan.grow, bool):
                raise ValueError("a layer is of an unknown kind")
            # a bottleneck and self-attention divide their channels
            _check_whole(
                "channels of a layer", plan.channels_in, MOST, {"residual": 1, "bottleneck": 4}.get(plan.kind, 8)
            )
            _check_whole("channels of a layer", plan.channels_out, MOST)
        if self.hierarchy not in get_args(Hierarchy):
            raise ValueError(f"hierarchy is {shown(self.hierarchy)}, not one of {', '.join(get_args(Hierarchy))}")
        if sum(plan.grow for plan in self.layers) > MOST_GROWING:
            raise ValueError(f"more than {MOST_GROWING} layers double the size")
        for epsilon in (self.epsilon, self.last_epsilon):
            if epsilon is not None and not (isinstance(epsilon, float) and 0 <= epsilon < 1):
                raise ValueError(f"epsilon is {shown(epsilon)}, no number from 0 to 1")
        if not self.chunk:
            raise ValueError(f"z_dim={self.z_dim} is too small for a chunk per layer")

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


def _check_whole(name: str, value: Any, most: int, least: int = 1) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {shown(value)}, no integer from {least} to {most}")
