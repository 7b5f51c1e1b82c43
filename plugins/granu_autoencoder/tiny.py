"""The network of a TAESD: convolutions, residual blocks and upsamplings in a row, for images in [0, 1].

Source: madebyollin/taesd (MIT) for the file layout and the structure; diffusers' AutoencoderTiny is the same network
for images in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from granu_autoencoder.tiny_layout import Layer, TinyLayout

GROUPS = 4
LIMIT = 3.0  # latents are clamped to about ±3
ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "swish": nn.SiLU, "mish": nn.Mish, "gelu": nn.GELU}


class TinyAutoencoder(nn.Module):
    """A TAESD. Its tensors have the names of the published files, `encoder.` and `decoder.` before them."""

    conditioned = False

    def __init__(self, layout: TinyLayout) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*(make_layer(layer, layout) for layer in layout.encoder))
        self.decoder = nn.Sequential(*(make_layer(layer, layout) for layer in layout.decoder))
        self.parts = layout.stages

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] -> latents (B, c, h, w)."""
        return self.encoder(images)

    def stage(self, number: int, x: Tensor) -> Tensor:
        """The output of one stage of the decoder, from that of the one before it or from the latent."""
        start, end = self.parts[number]
        return self.decoder[start:end](x)

    def finish(self, x: Tensor) -> Tensor:
        """Images, about [0, 1], from the output of the last stage."""
        return self.decoder[-1](x)

    def blocks(self) -> Iterator[nn.Module]:
        """The blocks of the decoder."""
        return (layer for layer in self.decoder if isinstance(layer, Block))


def make_layer(layer: Layer, layout: TinyLayout) -> nn.Module:
    """Make the module that a layer of the layout describes."""
    if layer.kind == "clamp":
        return Clamp()
    if layer.kind == "relu":
        return ACTIVATIONS[layout.activation]()
    if layer.kind == "upsample":
        return nn.Upsample(scale_factor=2, mode=layout.upsampling)
    if layer.kind == "block":
        return Block(layer.channels_in, layer.pool, layout.activation)
    return conv(layer.channels_in, layer.channels_out, stride=layer.stride, bias=layer.kind == "conv")


def conv(channels_in: int, channels_out: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """A convolution of 3 x 3 that keeps the size, or halves it."""
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=bias)


class Clamp(nn.Module):
    """Limit a latent smoothly to ±3."""

    def forward(self, x: Tensor) -> Tensor:
        return LIMIT * torch.tanh(x / LIMIT)


class Block(nn.Module):
    """Three convolutions and a shortcut; with a pool, a wider pointwise branch with a group norm comes first."""

    def __init__(self, channels: int, pool: int, activation: str) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        self.conv = nn.Sequential(
            conv(channels, channels), act(), conv(channels, channels), act(), conv(channels, channels)
        )
        self.pool = None
        if pool:
            self.pool = nn.Sequential(
                nn.Conv2d(channels, pool, 1, bias=False),
                nn.GroupNorm(GROUPS, pool),
                nn.ReLU(),
                nn.Conv2d(pool, channels, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return F.relu(x + self.conv(x))
