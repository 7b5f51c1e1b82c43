"""Configuration of a StyleGAN3 and the sizes and frequencies of its layers; without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class StyleGAN3Config:
    """Frequencies in cycles per image; names as in NVIDIA's files.

    img_resolution, img_channels             R pixels a side
    z_dim, c_dim, w_dim                      sizes of latent, label (0: unconditional) and intermediate latent
    mapping_layers                           fully connected layers between z and w
    channel_base, channel_max                a layer has channel_base / 2 / cutoff channels, at most channel_max
    num_layers, num_critical                 layers before the one to RGB; how many of them are critically sampled
    first_cutoff, first_stopband             of the first layer
    last_stopband_rel                        the last layer's stopband in units of its cutoff
    margin_size                              samples beyond the image's border, on each side
    conv_kernel, use_radial_filters          3 and no for T (translation), 1 and yes for R (rotation too)
    filter_size, lrelu_upsampling            taps per factor of resampling; how much finer the non-linearity computes
    output_scale, conv_clamp                 factor to the image; activations are clamped to ±conv_clamp
    """

    img_resolution: int
    z_dim: int = 512
    c_dim: int = 0
    w_dim: int = 512
    img_channels: int = 3
    mapping_layers: int = 2
    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 10
    output_scale: float = 0.25
    conv_kernel: int = 3
    filter_size: int = 6
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False
    conv_clamp: float | None = 256.0


@dataclass(frozen=True)
class FilterPlan:
    """Resampling of one synthesis layer: factors, and the taps of each low-pass filter, 1 for none."""

    finer: int  # the rate at which the non-linearity is computed
    up: int
    down: int
    up_taps: int
    down_taps: int
    radial: bool  # the second filter has (taps, taps) weights


@dataclass(frozen=True)
class LayerPlan:
    """The output of a synthesis layer: size x size samples, band-limited to `cutoff`."""

    channels: int
    size: int
    rate: int
    cutoff: float
    half_width: float
    critical: bool
    to_rgb: bool


def layer_plans(config: StyleGAN3Config) -> list[LayerPlan]:
    """Plan the layers, coarse to fine, the last one to RGB (section 3.2 and appendix C.1).

    Cutoffs grow geometrically until `num_critical` layers before the end; layers are wider than the image by a
    margin on each side, which the critically sampled layers crop.
    """
    N, last_cutoff = config.num_layers, config.img_resolution / 2
    last_stopband = last_cutoff * config.last_stopband_rel
    plans = []
    for i in range(N + 1):
        t = min(i / (N - config.num_critical), 1.0)
        cutoff = config.first_cutoff * (last_cutoff / config.first_cutoff) ** t
        stopband = config.first_stopband * (last_stopband / config.first_stopband) ** t
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, config.img_resolution)))
        to_rgb = i == N
        channels = round(min(config.channel_base / 2 / cutoff, config.channel_max))
        plans.append(
            LayerPlan(
                channels=config.img_channels if to_rgb else channels,
                size=config.img_resolution if i >= N - 1 else rate + 2 * config.margin_size,
                rate=rate,
                cutoff=cutoff,
                half_width=max(stopband, rate / 2) - cutoff,
                critical=i >= N - config.num_critical,
                to_rgb=to_rgb,
            )
        )
    return plans


def filter_plan(config: StyleGAN3Config, before: LayerPlan, plan: LayerPlan) -> FilterPlan:
    """Plan the resampling from one layer's rate to the next one's (figure 4b)."""
    finer = max(before.rate, plan.rate) * (1 if plan.to_rgb else config.lrelu_upsampling)
    up, down = finer // before.rate, finer // plan.rate
    return FilterPlan(
        finer,
        up,
        down,
        up_taps=config.filter_size * up if up > 1 and not plan.to_rgb else 1,
        down_taps=config.filter_size * down if down > 1 and not plan.to_rgb else 1,
        radial=config.use_radial_filters and not plan.critical,
    )


def layer_name(i: int, plan: LayerPlan) -> str:
    """A layer's name in NVIDIA's files."""
    return f"L{i}_{plan.size}_{plan.channels}"
