"""The discriminator of the generators' training, which is not shipped.

A small residual network as in StyleGAN2 (Karras et al. 2020a): equalised learning rate, the standard deviation
over groups of images as an extra channel, and a projection of the class (Miyato & Koyama 2018).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["GROUP", "Discriminator"]

GROUP = 4  # consecutive images of a batch that have the same class


class Discriminator(nn.Module):
    """Images (B, 1, 32, 32) in [-1, 1] and classes (B,), equal in each GROUP, -> logits of being real (B,)."""

    def __init__(self, classes: int = 10, channels: tuple[int, ...] = (16, 32, 64, 64), width: int = 64) -> None:
        super().__init__()
        self.see = Conv(1, channels[0], 1)
        self.blocks = nn.Sequential(*(Down(a, b) for a, b in pairwise(channels)))
        self.mix = Conv(channels[-1] + 1, channels[-1], 3)
        self.flat = Linear(channels[-1] * 4 * 4, width)
        self.judge = Linear(width, 1)
        self.project = nn.Parameter(torch.randn(classes, width))

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        x = self.blocks(activate(self.see(images)))  # (B, C, 4, 4)
        x = activate(self.mix(torch.cat([x, group_deviation(x)], dim=1)))
        x = activate(self.flat(x.flatten(1)))  # (B, width)
        x = x.float()
        wanted = self.project[classes] / math.sqrt(x.shape[1])
        return self.judge(x)[:, 0].float() + (x * wanted).sum(dim=1)


class Down(nn.Module):
    """A residual block that halves height and width."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first, self.second = Conv(n_in, n_in, 3), Conv(n_in, n_out, 3)
        self.skip = Conv(n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        deep = activate(self.second(F.avg_pool2d(activate(self.first(x)), 2)))
        return (deep + self.skip(F.avg_pool2d(x, 2))) * math.sqrt(0.5)


class Conv(nn.Module):
    """A convolution with equalised learning rate."""

    def __init__(self, n_in: int, n_out: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, size, size))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.gain = 1 / math.sqrt(n_in * size * size)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.gain, self.bias, padding=self.weight.shape[2] // 2)


class Linear(nn.Module):
    """A fully connected layer with equalised learning rate."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


def activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def group_deviation(x: Tensor) -> Tensor:
    """Mean standard deviation over the images of each group, as a channel (B, 1, h, w).

    Groups have one class, so that the channel reveals a generator that draws a class in a single style; groups of
    several classes would always vary.
    """
    B, C, h, w = x.shape
    groups = x.float().view(B // GROUP, GROUP, C, h, w)
    deviation = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # (B / GROUP,)
    return deviation.repeat_interleave(GROUP)[:, None, None, None].expand(B, 1, h, w).to(x.dtype)
