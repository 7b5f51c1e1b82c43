"""A network with its preprocessing as a classifier: images in [0, 1] to logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from granu.errors import ClassifierError, UnknownName
from granu.images.cropping import Cropping
from granu.images.ops import fit_channels, is_within, pad_to, resize


class ImageClassifier(nn.Module):
    """A network with its input size, channels and normalisation inside.

    `channels` is None if the network takes images as they come. `size` is (height, width), or None for any. `fit` says
    how images of other sizes are fitted: "resize" (antialiased bicubic) or "pad" (zeros around, for digits). `mean` and
    `std` are per channel, in [0, 1] image units. `named` is False if `classes` are numbers because no names are known;
    a dataset with as many classes then names them, in order. The network is put into evaluation mode, and channels last
    in memory, which makes convolutions faster, on a CPU too.

    `architecture` is the name of the classifier offer that can build the network again from `config`, so that one that
    was trained is saved with all that is needed to open it; None if the network comes from a person's own code.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        *,
        channels: int | None = 3,
        size: tuple[int, int] | None = None,
        fit: str = "resize",
        cropping: Cropping | None = None,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        name: str = "classifier",
        named: bool = True,
        architecture: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.classes: Sequence[str] = tuple(classes)
        self.channels, self.fit, self.cropping, self.name, self.named = channels, fit, cropping, name, named
        self.size = size if cropping is None else cropping.size
        self.architecture, self.config = architecture, config
        self._frozen: list[nn.Module] = []
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, K) float32. ClassifierError if the output has another shape."""
        logits = self.network(self.normalized(images))
        logits = getattr(logits, "logits", logits)  # Hugging Face wraps them
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] != len(self.classes):
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ClassifierError(
                f"'{self.name}' gave {shape} for {len(images)} images, not ({len(images)}, {len(self.classes)}); "
                "name as many classes as it has outputs"
            )
        return logits.float()

    def normalized(self, images: Tensor) -> Tensor:
        """The network's input for images (B, C, H, W) in [0, 1]."""
        return (self.fitted(images) - self.mean) / self.std

    def fitted(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) with the network's channels, at its input size."""
        images = images if self.channels is None else fit_channels(images, self.channels)
        if self.cropping is not None:
            return self.cropping(images)
        if self.size is None or images.shape[-2:] == self.size:
            return images
        padded = self.fit == "pad" and is_within(images, *self.size)
        return pad_to(images, *self.size) if padded else resize(images, *self.size)

    def layers(self) -> Mapping[str, nn.Module]:
        """Every named module inside the network."""
        return {name: module for name, module in self.network.named_modules() if name}

    def layer(self, name: str) -> nn.Module:
        """The module of that name. UnknownName, with the nearest names, if there is none."""
        layers = self.layers()
        if name not in layers:
            raise UnknownName("layer", name, layers, self.name)
        return layers[name]

    def freeze(self, *modules: nn.Module) -> None:
        """Exclude modules of the network from training: no gradient for parameters, always in evaluation mode."""
        for module in modules:
            module.requires_grad_(False).eval()
        self._frozen += modules

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; frozen modules stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self
