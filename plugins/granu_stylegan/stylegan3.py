"""StyleGAN3, T and R, in plain PyTorch: the network of "Alias-Free Generative Adversarial Networks" (2021).

Written from the paper (Karras et al., arXiv:2106.12423). Parameter names are those of NVIDIA's published files,
so a state dict of theirs loads strictly; the code is ours.

Every step is a method: `start` gives the Fourier features, `layer` each layer's output from the one before and its
style, which `affine` gives, and `finish` the image. A computation can therefore be resumed at any step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from granu_stylegan.filtered import filtered_leaky_relu, lowpass_filter
from granu_stylegan.stylegan2 import EPSILON, Dense, Mapping
from granu_stylegan.stylegan3_config import LayerPlan, StyleGAN3Config, filter_plan, layer_name, layer_plans

__all__ = ["StyleGAN3"]


class StyleGAN3(nn.Module):
    """z (B, z_dim) and labels (B, c_dim) -> images (B, img_channels, R, R), about [-1, 1], not clamped."""

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim = config.z_dim, config.c_dim
        self.mapping = Mapping(config.z_dim, config.c_dim, config.w_dim, config.mapping_layers)
        self.synthesis = nn.Module()
        plans = layer_plans(config)
        self.synthesis.add_module("input", FourierInput(config.w_dim, plans[0]))
        self.layer_names = [layer_name(i, plan) for i, plan in enumerate(plans)]
        for name, before, plan in zip(self.layer_names, plans[:1] + plans, plans, strict=False):
            self.synthesis.add_module(name, SynthesisLayer(config, before, plan))

    @property
    def layers(self) -> Sequence[SynthesisLayer]:
        """The layers in the order in which they run; the last one goes to RGB."""
        return [cast(SynthesisLayer, self.synthesis.get_submodule(name)) for name in self.layer_names]

    def start(self, w: Tensor) -> Tensor:
        """The Fourier features that synthesis starts from, rotated and shifted by w (B, w_dim): (B, C, size, size)."""
        return self.synthesis.get_submodule("input")(w)

    def affine(self, i: int, w: Tensor) -> Tensor:
        """w (B, w_dim) -> style of layer i (B, C_in), about 1 for an unmodulated channel."""
        return self.layers[i].affine(w)

    def layer(self, i: int, x: Tensor, style: Tensor) -> Tensor:
        """x (B, C_in, h, w), style (B, C_in) -> output of layer i (B, C, size, size)."""
        return self.layers[i](x, style)

    def finish(self, x: Tensor) -> Tensor:
        """Scale the last layer's output to the image."""
        return x * self.config.output_scale

    def synthesize(self, w: Tensor) -> Tensor:
        """w (B, w_dim) -> image."""
        x = self.start(w)
        for i in range(len(self.layer_names)):
            x = self.layer(i, x, self.affine(i, w))
        return self.finish(x)

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        return self.synthesize(self.mapping(z, labels, truncation))


class FourierInput(nn.Module):
    """Fixed sine waves, rotated and shifted by the style (section 3.2)."""

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, w_dim: int, plan: LayerPlan) -> None:
        super().__init__()
        self.size, self.rate, self.bandwidth = plan.size, plan.rate, plan.cutoff
        self.weight = nn.Parameter(torch.randn(plan.channels, plan.channels))
        self.affine = Dense(w_dim, 4)
        nn.init.zeros_(self.affine.weight)  # no rotation or shift before training
        self.affine.bias.data[0] = 1.0
        self.register_buffer("transform", torch.eye(3))  # a further transform, the same for every image
        directions = F.normalize(torch.randn(plan.channels, 2))
        self.register_buffer("freqs", directions * plan.cutoff * torch.rand(plan.channels, 1).sqrt())
        self.register_buffer("phases", torch.rand(plan.channels) - 0.5)

    def forward(self, w: Tensor) -> Tensor:
        """Features (B, C, size, size) for styles w (B, w_dim); in float32, as phases are sensitive to rounding."""
        with torch.autocast(w.device.type, enabled=False):
            return self._waves(w.float())

    def _waves(self, w: Tensor) -> Tensor:
        cosine, sine, shift_x, shift_y = self._motion(w).unbind(1)
        zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
        rotation = _matrices([[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]])
        shift = _matrices([[one, zero, -shift_x], [zero, one, -shift_y], [zero, zero, one]])
        motion = rotation @ shift @ self.transform  # (B, 3, 3)

        # a transformed image has rotated frequencies and shifted phases
        phases = self.phases + (self.freqs @ motion[:, :2, 2:]).squeeze(2)  # (B, C)
        freqs = self.freqs @ motion[:, :2, :2]  # (B, C, 2)
        # waves with frequencies beyond the layer's band fade out instead of aliasing
        fade = 1 - (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)  # (B, C)

        at = (torch.arange(self.size, device=w.device) + 0.5 - self.size / 2) / self.rate  # in images
        along_x = freqs[:, :, 0, None] * at  # (B, C, size)
        along_y = freqs[:, :, 1, None] * at
        x = along_x[:, :, None, :] + along_y[:, :, :, None] + phases[:, :, None, None]
        x = torch.sin(2 * math.pi * x) * fade.clamp(0, 1)[:, :, None, None]
        return F.conv2d(x, (self.weight / math.sqrt(x.shape[1]))[:, :, None, None])

    def _motion(self, w: Tensor) -> Tensor:
        """(B, 4): cosine and sine of the rotation, then the shift, both in units of the image."""
        t = self.affine(w)
        return t / t[:, :2].norm(dim=1, keepdim=True)


def _matrices(rows: list[list[Tensor]]) -> Tensor:
    """Stack entries of shape (B,) each to matrices (B, rows, columns)."""
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


class SynthesisLayer(nn.Module):
    """Modulated convolution, then a leaky ReLU between up- and downsampling (figure 4b)."""

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, config: StyleGAN3Config, before: LayerPlan, plan: LayerPlan) -> None:
        super().__init__()
        kernel = 1 if plan.to_rgb else config.conv_kernel
        filters = filter_plan(config, before, plan)
        self.to_rgb, self.clamp = plan.to_rgb, config.conv_clamp
        self.up, self.down = filters.up, filters.down
        up_taps, down_taps, finer = filters.up_taps, filters.down_taps, filters.finer

        # compensates the convolution and both filters, so that the output has exactly plan.size samples
        padding = (plan.size - 1) * self.down + 1 + up_taps + down_taps - 2 - (before.size + kernel - 1) * self.up
        first = (padding + self.up) // 2
        self.padding = (first, padding - first)

        self.affine = Dense(config.w_dim, before.channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(plan.channels, before.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(plan.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer(
            "up_filter",
            lowpass_filter(up_taps, before.cutoff, before.half_width, finer) if up_taps > 1 else None,
        )
        self.register_buffer(
            "down_filter",
            lowpass_filter(down_taps, plan.cutoff, plan.half_width, finer, filters.radial) if down_taps > 1 else None,
        )

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x (B, C_in, h, w), style (B, C_in) -> (B, C, size, size)."""
        if self.to_rgb:
            weight, gain, slope = self.weight / math.sqrt(self.weight[0].numel()), 1.0, 1.0
        else:
            weight, gain, slope = self.weight, math.sqrt(2), 0.2
        x = modulated_convolution(x * self.magnitude_ema.rsqrt(), weight, style, demodulate=not self.to_rgb)
        x = x + self.bias[:, None, None]
        return filtered_leaky_relu(
            x, self.up_filter, self.down_filter, self.up, self.down, self.padding, slope, gain, self.clamp
        )


def modulated_convolution(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool) -> Tensor:
    """Convolve each image with its input channels scaled by its style; full padding, so that sizes grow.

    x (B, C_in, h, w), weight (C, C_in, k, k), style (B, C_in). With `demodulate`, outputs are scaled
    to unit variance.
    """
    if demodulate:
        # both factors cancel in the quotient below and prevent overflow in half precision
        weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        style = style * style.square().mean(1, keepdim=True).rsqrt()
    y = F.conv2d(x * style[:, :, None, None].to(x.dtype), weight, padding=weight.shape[-1] - 1)
    if demodulate:
        power = style.float().square() @ weight.square().sum((2, 3)).T  # (B, C)
        y = y * (power.float() + EPSILON).rsqrt()[:, :, None, None].to(y.dtype)
    return y
