"""What a StyleGAN2 of given arguments looks like from outside: its sites, coarse to fine. No torch needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from granu import Site

__all__ = ["list_sites"]


def list_sites(config: Mapping[str, Any]) -> Sequence[Site]:
    """The sites of the network that `config`, the arguments of StyleGAN2, describes."""
    sizes = [2**k for k in range(2, int(config["img_resolution"]).bit_length())]
    channels = [min(config["channel_base"] // size, config["channel_max"]) for size in sizes]
    convs = [(channels[0], channels[0], sizes[0])]  # channels in, channels out, size of each convolution
    for (_, n_in), (size, n_out) in pairwise(zip(sizes, channels, strict=True)):
        convs += [(n_in, n_out, size), (n_out, n_out, size)]
    picture = (config["img_channels"], config["img_resolution"], config["img_resolution"])
    return [
        Site("z", (config["z_dim"],), "the latent"),
        Site("w", (config["w_dim"],), "the intermediate latent, after truncation"),
        *(Site(f"style{i}", (n_in,), f"what modulates layer {i}") for i, (n_in, _, _) in enumerate(convs)),
        *(Site(f"noise{i}", (1, s, s), f"the noise map of layer {i}") for i, (_, _, s) in enumerate(convs)),
        *(Site(f"layer{i}", (n, s, s), f"the output of layer {i}") for i, (_, n, s) in enumerate(convs)),
        Site("image", picture, "the picture's pixels", scale="pixel"),
    ]
