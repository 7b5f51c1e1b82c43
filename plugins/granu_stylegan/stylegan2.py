"""The StyleGAN2 network, in steps that can be run one at a time.

Architecture: Karras et al. 2020a (arXiv:1912.04958), in the configuration of StyleGAN2-ADA (Karras et al. 2020b,
arXiv:2006.06676). Parameter names are those of NVIDIA's published files, so a state dict of theirs loads strictly;
the code is ours.

Every step is a method: `mapping` gives w; for each convolution i, `affine(i, w)` gives its style and
`layer(i, x, style, noise)` its output; after the last convolution of a block, `to_rgb(block, x, w, rgb)` adds the
block's RGB output to the image. A computation can therefore be resumed at any step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["StyleGAN2"]

EPSILON = 1e-8
SQRT2 = math.sqrt(2)


class StyleGAN2(nn.Module):
    """Normal z (B, z_dim), one-hot labels (B, c_dim) -> images (B, img_channels, R, R), about [-1, 1].

    z_dim, c_dim, w_dim    sizes of latent, label (0: unconditional) and intermediate latent
    img_resolution         R, a power of two, at least 8
    img_channels           1 for grey, 3 for colour
    mapping_layers         fully connected layers between z and w
    channel_base           a block of size r has channel_base / r channels ...
    channel_max            ... but at most this
    conv_clamp             outputs of convolutions are clamped to ±conv_clamp; None: not clamped
    """

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 256,
        img_channels: int = 3,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = 256,
    ) -> None:
        super().__init__()
        if img_resolution < 8 or img_resolution & (img_resolution - 1):
            raise ValueError(f"img_resolution={img_resolution} must be a power of two, 8 or more")
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.sizes = [2**k for k in range(2, img_resolution.bit_length())]
        channels = [min(channel_base // size, channel_max) for size in self.sizes]
        self.mapping = Mapping(z_dim, c_dim, w_dim, mapping_layers)
        self.synthesis = nn.Module()
        for size, n_in, n_out in zip(self.sizes, [0, *channels], channels, strict=False):
            self.synthesis.add_module(f"b{size}", Block(n_in, n_out, w_dim, size, img_channels, conv_clamp))

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks, from 4 x 4 to the image's size."""
        return [cast(Block, self.synthesis.get_submodule(f"b{size}")) for size in self.sizes]

    @property
    def layers(self) -> Sequence[ModulatedConv]:
        """The convolutions in the order in which they run: b4.conv1, b8.conv0, b8.conv1, b16.conv0, ..."""
        return [conv for block in self.blocks for conv in block.convs]

    def block_ending_at(self, i: int) -> int | None:
        """The block whose last convolution is layer i, None when layer i is the first of two."""
        return i // 2 if i % 2 == 0 else None

    def start(self, batch: int) -> Tensor:
        """The learned constant that synthesis starts from, (batch, C, 4, 4)."""
        return self.blocks[0].const.expand(batch, -1, -1, -1)

    def affine(self, i: int, w: Tensor) -> Tensor:
        """w (B, w_dim) -> style of layer i (B, C_in), about 1 for an unmodulated channel."""
        return self.layers[i].affine(w)

    def noise(self, i: int) -> Tensor:
        """The stored noise map of layer i, (h, w), before its learned strength."""
        return self.layers[i].noise_const

    def layer(self, i: int, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """x (B, C_in, h, w), style (B, C_in), noise (B, 1, H, W) or None -> output of layer i (B, C, H, W)."""
        return self.layers[i](x, style, noise)

    def to_rgb(self, block: int, x: Tensor, w: Tensor, rgb: Tensor | None = None) -> Tensor:
        """Upsample the image so far to the block's size and add the block's RGB output: (B, img_channels, H, W)."""
        module = self.blocks[block]
        output = module.torgb(x, w)
        return output if rgb is None else upsample(rgb, module.resample_filter) + output

    def synthesize(self, w: Tensor, noises: Sequence[Tensor | None] | None = None) -> Tensor:
        """w (B, w_dim) -> image. Noises default to the stored maps."""
        x, rgb = self.start(len(w)), None
        for i in range(len(self.layers)):
            noise = self.noise(i)[None, None] if noises is None else noises[i]
            x = self.layer(i, x, self.affine(i, w), noise)
            if (block := self.block_ending_at(i)) is not None:
                rgb = self.to_rgb(block, x, w, rgb)
        assert rgb is not None
        return rgb

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        return self.synthesize(self.mapping(z, labels, truncation))


class Mapping(nn.Module):
    """z and label -> w; `truncation` < 1 pulls w towards the mean `w_avg`, which training tracks."""

    w_avg: Tensor

    def __init__(self, z_dim: int, c_dim: int, w_dim: int, layers: int) -> None:
        super().__init__()
        self.c_dim, self.count = c_dim, layers
        if c_dim:
            self.embed = Dense(c_dim, w_dim)
        for k in range(layers):
            n_in = z_dim + (w_dim if c_dim else 0) if k == 0 else w_dim
            self.add_module(f"fc{k}", Dense(n_in, w_dim, activate=True, lr_multiplier=0.01))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """z (B, z_dim), labels (B, c_dim) -> w (B, w_dim)."""
        x = unit_moment(z)
        if self.c_dim:
            if labels is None:
                raise ValueError(f"a generator with {self.c_dim} classes needs labels")
            x = torch.cat([x, unit_moment(self.embed(labels))], dim=1)
        for k in range(self.count):
            x = self.get_submodule(f"fc{k}")(x)
        return x if truncation == 1 else self.w_avg.lerp(x, truncation)


class Block(nn.Module):
    """All layers of one size: one convolution (at 4 x 4) or two, and the layer to RGB."""

    resample_filter: Tensor

    def __init__(self, n_in: int, n_out: int, w_dim: int, size: int, img_channels: int, clamp: float | None) -> None:
        super().__init__()
        self.register_buffer("resample_filter", fir_filter())
        if n_in:
            self.conv0 = ModulatedConv(n_in, n_out, w_dim, size, grow=True, clamp=clamp)
        else:
            self.const = nn.Parameter(torch.randn(n_out, size, size))
        self.conv1 = ModulatedConv(n_out, n_out, w_dim, size, grow=False, clamp=clamp)
        self.torgb = ToRGB(n_out, img_channels, w_dim, clamp)
        self.convs = [self.conv0, self.conv1] if n_in else [self.conv1]


class ModulatedConv(nn.Module):
    """A 3 x 3 convolution whose input channels are scaled by a style and whose output is scaled back to unit size.

    Modulating the input and demodulating the output is the same as doing both to the weights (Karras et al. 2020a,
    section 2.2), and lets the whole batch share one convolution.
    """

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, n_in: int, n_out: int, w_dim: int, size: int, grow: bool, clamp: float | None) -> None:
        super().__init__()
        self.grow, self.clamp = grow, clamp
        self.affine = Dense(w_dim, n_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(n_out, n_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(size, size))
        self.register_buffer("resample_filter", fir_filter())

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """x (B, C_in, h, w), style (B, C_in), noise (B, 1, H, W) -> (B, C, H, W), H = 2h where the layer grows."""
        power = style.float().square() @ self.weight.square().sum((2, 3)).T
        # the activation's gain √2 is applied to the small tensors instead: leaky_relu commutes with positive factors
        unit = SQRT2 * (power.float() + EPSILON).rsqrt()  # (B, C)
        x = x * style[:, :, None, None].to(x.dtype)
        if self.grow:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)  # (B, C, 2h + 1, 2w + 1)
            x = smooth(x, 4 * self.resample_filter)
        else:
            x = F.conv2d(x, self.weight, padding=1)
        x = x * unit[:, :, None, None].to(x.dtype)
        if noise is not None:
            x = x + (noise * (SQRT2 * self.noise_strength)).to(x.dtype)
        x = F.leaky_relu(x + (SQRT2 * self.bias)[:, None, None].to(x.dtype), 0.2)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class ToRGB(nn.Module):
    """A modulated 1 x 1 convolution from features to image, not demodulated."""

    def __init__(self, n_in: int, img_channels: int, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = Dense(w_dim, n_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(img_channels, n_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (B, C, H, W), w (B, w_dim) -> (B, img_channels, H, W)."""
        style = self.affine(w) / math.sqrt(x.shape[1])
        y = F.conv2d(x * style[:, :, None, None].to(x.dtype), self.weight)
        y = y + self.bias[:, None, None].to(y.dtype)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class Dense(nn.Module):
    """A fully connected layer with equalised learning rate: weights of unit variance, scaled when used."""

    def __init__(
        self, n_in: int, n_out: int, bias: float = 0.0, activate: bool = False, lr_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.activate, self.lr_multiplier = activate, lr_multiplier
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([n_out], bias))

    def forward(self, x: Tensor) -> Tensor:
        gain = self.lr_multiplier / math.sqrt(self.weight.shape[1])
        x = F.linear(x, self.weight * gain, self.bias * self.lr_multiplier)
        return SQRT2 * F.leaky_relu(x, 0.2) if self.activate else x


def fir_filter() -> Tensor:
    """The low-pass filter [1, 3, 3, 1] in two dimensions, (4, 4), sum 1."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(line, line) / line.sum() ** 2


def smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve each channel with the 4 x 4 kernel, (B, C, H, W) -> (B, C, H - 1, W - 1)."""
    C = x.shape[1]
    # flipped, because conv2d computes a correlation
    return F.conv2d(x, kernel.flip(0, 1).to(x.dtype).expand(C, 1, 4, 4), padding=1, groups=C)


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Double the size: insert zeros between pixels, then apply the low-pass filter. (B, C, h, w) -> (B, C, 2h, 2w)."""
    C = x.shape[1]
    kernel = (4 * kernel).to(x.dtype).expand(C, 1, 4, 4)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=C)


def unit_moment(x: Tensor) -> Tensor:
    """Scale each row so that its mean square is 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()
