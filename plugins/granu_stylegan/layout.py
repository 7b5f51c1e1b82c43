"""The sites of a StyleGAN, coarse to fine, from its configuration alone; without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from granu import Site
from granu_stylegan.stylegan3_config import LayerPlan, StyleGAN3Config, layer_plans

__all__ = ["list_sites", "list_stylegan3_sites"]


def list_sites(config: Mapping[str, Any]) -> Sequence[Site]:
    """List the sites of a StyleGAN2 with the arguments `config`."""
    sizes = [2**k for k in range(2, int(config["img_resolution"]).bit_length())]
    channels = [min(config["channel_base"] // size, config["channel_max"]) for size in sizes]
    convs = [(channels[0], channels[0], sizes[0])]  # channels in, channels out, size of each convolution
    for (_, n_in), (size, n_out) in pairwise(zip(sizes, channels, strict=True)):
        convs += [(n_in, n_out, size), (n_out, n_out, size)]
    image = (config["img_channels"], config["img_resolution"], config["img_resolution"])
    return [
        Site("z", (config["z_dim"],), "the latent"),
        Site("w", (config["w_dim"],), "the intermediate latent, after truncation"),
        *(
            Site(f"style{i}", (n_in,), f"the style of layer {i}", resolution=size)
            for i, (n_in, _, size) in enumerate(convs)
        ),
        *(Site(f"noise{i}", (1, s, s), f"the noise map of layer {i}") for i, (_, _, s) in enumerate(convs)),
        *(Site(f"layer{i}", (n, s, s), f"the output of layer {i}") for i, (_, n, s) in enumerate(convs)),
        Site("image", image, "the image's pixels", scale="pixel"),
    ]


def list_stylegan3_sites(config: StyleGAN3Config) -> Sequence[Site]:
    """List the sites of a StyleGAN3. Most layers are wider than the image by a margin on each side."""
    *inner, last = layer_plans(config)
    inputs = [inner[0], *inner]  # the input of each layer, with the last one, to RGB
    return [
        Site("z", (config.z_dim,), "the latent"),
        Site("w", (config.w_dim,), "the intermediate latent, after truncation"),
        Site(
            "input",
            (inner[0].channels, inner[0].size, inner[0].size),
            "the Fourier features that synthesis starts from",
        ),
        *(
            Site(f"style{i}", (plan.channels,), f"the style of layer {i}", resolution=plan.rate)
            for i, plan in enumerate(inputs)
        ),
        *(
            Site(
                f"layer{i}",
                (plan.channels, plan.size, plan.size),
                f"the output of layer {i}, {_margin(plan)}",
                resolution=plan.rate,
            )
            for i, plan in enumerate(inner)
        ),
        Site("image", (config.img_channels, last.size, last.size), "the image's pixels", scale="pixel"),
    ]


def _margin(plan: LayerPlan) -> str:
    """Describe a layer's size relative to the image, which is `rate` samples wide there."""
    wider = (plan.size - plan.rate) // 2
    return f"{wider} samples wider than the image on each side" if wider else "as wide as the image"
