"""An autoencoder as a generator that encodes images, written as steps so that it can be resumed behind any site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import torch
from torch import Tensor

from granu import Site, Step, Streams, Tail, open_tail
from granu_autoencoder.architecture import Architecture


class StagedAutoencoder(Protocol):
    """An autoencoder whose decoder runs in stages; images are in [0, 1]."""

    conditioned: bool  # every stage also reads the latent

    def encode(self, images: Tensor) -> Tensor: ...
    def stage(self, number: int, x: Tensor, *code: Tensor) -> Tensor: ...
    def finish(self, x: Tensor, *code: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Code:
    """The encoding of a batch of images."""

    labels: Tensor  # (B,), -1: an autoencoder knows no classes
    latent: Tensor  # (B, c, h, w)

    def select(self, index: Tensor) -> Code:
        return Code(self.labels[index], self.latent[index])

    def tensors(self) -> Mapping[str, Tensor]:
        return {"latent": self.latent}


@dataclass(frozen=True)
class AutoencoderGenerator:
    """A granu.EncodingGenerator of images of one size, (height, width)."""

    network: StagedAutoencoder
    architecture: Architecture
    size: tuple[int, int]
    fingerprint: str
    classes: Sequence[str] = ()
    encoding: str = "encoder"  # nothing to choose: the encoder's mean, code or quantized code

    def sites(self) -> Sequence[Site]:
        return self.architecture.sites(self.size)

    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> Code:
        del noise  # the encoder is deterministic
        with torch.no_grad():
            return Code(labels, self.network.encode(images))

    def restore(self, labels: Tensor, tensors: Mapping[str, Tensor]) -> Code:
        return Code(labels, tensors["latent"])

    def tail(self, latent: Code, sites: Sequence[str]) -> Tail:
        return open_tail(self.steps, {"latent": latent.latent}, sites)

    @cached_property
    def steps(self) -> Sequence[Step]:
        """Steps from the latent over the stages to an image about [0, 1]."""
        code = ("latent",) if self.network.conditioned else ()
        before, steps = "latent", []
        for number in range(len(self.architecture.stages)):
            steps.append(Step(f"stage{number}", (before, *code), partial(self.network.stage, number)))
            before = f"stage{number}"
        return [*steps, Step("image", (before, *code), self.network.finish)]
