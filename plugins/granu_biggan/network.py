"""The BigGAN networks, wide and deep, in plain PyTorch.

Architecture: Brock, Donahue and Simonyan 2019 (arXiv:1809.11096), appendix B. One network serves all published file
formats; their differences (order of inputs, spectral norm, tables of statistics) are removed when a file is read.

Every step is a method: `embed` gives the class vector y, `condition(i, z, y)` the condition of layer i, `start` the
first feature map, `layer` each layer's output, and `finish` the image. A computation can therefore be resumed at any
step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from granu_biggan.config import BigGANConfig, LayerPlan

__all__ = ["BigGAN", "ConditionalNorm", "Norm"]

MOMENTUM = 0.1  # share of the batch in a norm's stored statistics, while it trains


class BigGAN(nn.Module):
    """z (B, z_dim), normal, and class numbers (B,) -> images (B, channels, R, R) in [-1, 1].

    In training mode norms use the statistics of the batch and update the stored ones with `momentum`.
    """

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.layers[0].channels_in, config.layers[-1].channels_out
        self.embedding = nn.Embedding(config.classes, config.y_dim)
        self.linear = nn.Linear(config.linear_dim, first * config.bottom**2)
        self.layers = nn.ModuleList(make_layer(plan, config) for plan in config.layers)
        self.norm = Norm(last, config.epsilon if config.last_epsilon is None else config.last_epsilon)
        self.to_rgb = nn.Conv2d(last, config.channels, 3, padding=1)

    def embed(self, labels: Tensor) -> Tensor:
        """Class numbers (B,) -> class vectors y (B, y_dim)."""
        return self.embedding(labels)

    def condition(self, i: int, z: Tensor, y: Tensor) -> Tensor:
        """The input of the norms of layer i, (B, condition_dim); self-attention has no norms and ignores it."""
        if self.config.hierarchy == "none":
            return y
        if self.config.hierarchy == "whole":
            return torch.cat([y, z], dim=1)
        blocks = [plan.kind != "attention" for plan in self.config.layers[: i + 1]]
        return torch.cat([y, z.split(self.config.chunk, dim=1)[sum(blocks)]], dim=1) if blocks[i] else y

    def conditions(self, z: Tensor, y: Tensor) -> list[Tensor]:
        """The condition of every layer."""
        return [self.condition(i, z, y) for i in range(len(self.layers))]

    def start(self, z: Tensor, y: Tensor) -> Tensor:
        """The first feature map, (B, C, bottom, bottom)."""
        given = torch.cat([y, z], dim=1) if self.config.hierarchy == "whole" else z[:, : self.config.chunk]
        return self.linear(given).unflatten(1, (-1, self.config.bottom, self.config.bottom))

    def layer(self, i: int, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, C_in, h, w), condition (B, condition_dim) -> output of layer i (B, C, H, W)."""
        return self.layers[i](x, condition)

    def finish(self, x: Tensor) -> Tensor:
        """The image in [-1, 1] from the last feature map."""
        return torch.tanh(self.to_rgb(F.relu(self.norm(x))))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        y = self.embed(labels)
        x = self.start(z, y)
        for i, condition in enumerate(self.conditions(z, y)):
            x = self.layer(i, x, condition)
        return self.finish(x)


def make_layer(plan: LayerPlan, config: BigGANConfig) -> nn.Module:
    """Make the module that a plan describes."""
    if plan.kind == "attention":
        return Attention(plan.channels_in)
    return {"residual": Residual, "bottleneck": Bottleneck}[plan.kind](plan, config)


class Residual(nn.Module):
    """Two convolutions 3 x 3 and a learned shortcut (figure 15b)."""

    def __init__(self, plan: LayerPlan, config: BigGANConfig) -> None:
        super().__init__()
        n, m, self.grow = plan.channels_in, plan.channels_out, plan.grow
        self.norms = nn.ModuleList(ConditionalNorm(c, config) for c in (n, m))
        self.convs = nn.ModuleList([nn.Conv2d(n, m, 3, padding=1), nn.Conv2d(m, m, 3, padding=1)])
        self.shortcut = nn.Conv2d(n, m, 1) if n != m or plan.grow else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = F.relu(self.norms[0](x, condition))
        h = self.convs[0](twice(h) if self.grow else h)
        h = self.convs[1](F.relu(self.norms[1](h, condition)))
        # a 1 x 1 convolution before upsampling gives the same result at a quarter of the cost
        x = self.shortcut(x)
        return h + (twice(x) if self.grow else x)


class Bottleneck(nn.Module):
    """1 x 1 to a quarter of the channels, two 3 x 3 convolutions, and 1 x 1 back (figure 16b).

    The shortcut has no weights: it drops surplus channels.
    """

    def __init__(self, plan: LayerPlan, config: BigGANConfig) -> None:
        super().__init__()
        n, m, self.channels_out, self.grow = plan.channels_in, plan.channels_in // 4, plan.channels_out, plan.grow
        self.norms = nn.ModuleList(ConditionalNorm(c, config) for c in (n, m, m, m))
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(n, m, 1),
                nn.Conv2d(m, m, 3, padding=1),
                nn.Conv2d(m, m, 3, padding=1),
                nn.Conv2d(m, self.channels_out, 1),
            ]
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = x
        for i, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            h = F.relu(norm(h, condition))
            h = conv(twice(h) if self.grow and i == 1 else h)
        x = x[:, : self.channels_out]
        return h + (twice(x) if self.grow else x)


class Attention(nn.Module):
    """Self-attention with keys and values at half the resolution (Zhang et al. 2019, arXiv:1805.08318)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.key = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.out = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.strength = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        del condition
        query = self.query(x).flatten(2).mT  # (B, hw, C/8)
        key = F.max_pool2d(self.key(x), 2).flatten(2).mT  # (B, hw/4, C/8)
        value = F.max_pool2d(self.value(x), 2).flatten(2).mT  # (B, hw/4, C/2)
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # (B, hw, C/2)
        return x + self.strength * self.out(attended.mT.unflatten(2, x.shape[2:]))


class Norm(nn.Module):
    """Batch norm with stored statistics and learned gain and bias."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon, self.momentum = epsilon, MOMENTUM
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        statistics = (self.mean, self.variance)
        return F.batch_norm(x, *statistics, self.gain, self.bias, self.training, self.momentum, self.epsilon)


class ConditionalNorm(nn.Module):
    """Batch norm with stored statistics, whose gain (about 1) and bias are linear in the condition."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, config: BigGANConfig) -> None:
        super().__init__()
        self.epsilon, self.momentum = config.epsilon, MOMENTUM
        self.gain = nn.Linear(config.condition_dim, channels, bias=False)
        self.bias = nn.Linear(config.condition_dim, channels, bias=False)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, C, h, w), condition (B, condition_dim) -> (B, C, h, w)."""
        gain, bias = 1 + self.gain(condition), self.bias(condition)  # (B, C)
        if self.training:
            x = F.batch_norm(x, self.mean, self.variance, None, None, True, self.momentum, self.epsilon)
        else:  # folded: one multiplication and one addition per activation instead of four
            gain = gain * (self.variance + self.epsilon).rsqrt()
            bias = bias - self.mean * gain
        return torch.addcmul(bias[:, :, None, None].to(x.dtype), x, gain[:, :, None, None].to(x.dtype))


def twice(x: Tensor) -> Tensor:
    """Upsample by repeating each pixel: (B, C, h, w) -> (B, C, 2h, 2w)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")
