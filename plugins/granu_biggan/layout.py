"""The sites of a BigGAN, coarse to fine, from its configuration alone; without torch."""

from __future__ import annotations

from collections.abc import Sequence

from granu import Site
from granu_biggan.config import BigGANConfig, LayerPlan


def list_sites(config: BigGANConfig) -> Sequence[Site]:
    """List the sites; an edit of z or embedding changes the condition of every block, other edits do not."""
    first, *rest = config.feature_maps
    layers = enumerate(zip(config.layers, rest, strict=True))
    return [
        Site("z", (config.z_dim,), "the latent, which also conditions the blocks"),
        Site("embedding", (config.y_dim,), "the class as a vector, which also conditions the blocks"),
        Site("linear", first, "the first feature map"),
        *(Site(f"layer{i}", shape, _summary(plan, shape)) for i, (plan, shape) in layers),
        Site("image", (config.channels, *config.feature_maps[-1][1:]), "the image's pixels", scale="pixel"),
    ]


def _summary(plan: LayerPlan, shape: tuple[int, int, int]) -> str:
    what = "self-attention" if plan.kind == "attention" else f"a {plan.kind} block"
    return f"the output of {what}" + (f", upsampled to {shape[1]} pixels" if plan.grow else "")
