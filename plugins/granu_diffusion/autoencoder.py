"""Between images in [0, 1] and the states of the sampler: a linear map, or an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Pixels:
    """The sampler's last state is the image itself, in [-1, 1]."""

    def decode(self, x: Tensor) -> Tensor:
        return x / 2 + 0.5

    def encode(self, images: Tensor) -> Tensor:
        return images * 2 - 1


@dataclass(frozen=True)
class Autoencoder:
    """The sampler's last state is the latent of an AutoencoderKL or a VQModel, scaled to about unit variance."""

    network: Any

    @property
    def _scale(self) -> tuple[float, float]:
        config = self.network.config
        return config.scaling_factor, getattr(config, "shift_factor", None) or 0.0

    def decode(self, x: Tensor) -> Tensor:
        scale, shift = self._scale
        return self.network.decode(x / scale + shift, return_dict=False)[0].float() / 2 + 0.5

    def encode(self, images: Tensor) -> Tensor:
        """The mean of the encoder's distribution, or the latent before it is quantized."""
        scale, shift = self._scale
        (found,) = self.network.encode(images * 2 - 1, return_dict=False)
        latent = found.mode() if hasattr(found, "mode") and not isinstance(found, Tensor) else found
        return (latent.float() - shift) * scale
