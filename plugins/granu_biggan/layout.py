"""What a BigGAN looks like from outside: its sites, coarse to fine. No torch needed."""

from __future__ import annotations

from collections.abc import Sequence

from granu import Site
from granu_biggan.config import BigGANConfig, LayerPlan


def list_sites(config: BigGANConfig) -> Sequence[Site]:
    """z and embedding reach every block; an edit further on leaves what the blocks listen to as it is."""
    first, *rest = config.canvases
    layers = enumerate(zip(config.layers, rest, strict=True))
    return [
        Site("z", (config.z_dim,), "the latent, to every block that listens to it"),
        Site("embedding", (config.y_dim,), "the class as a vector, to every block"),
        Site("linear", first, "the first canvas"),
        *(Site(f"layer{i}", shape, _summary(plan, shape)) for i, (plan, shape) in layers),
        Site("image", (config.channels, *config.canvases[-1][1:]), "the image's pixels", scale="pixel"),
    ]


def _summary(plan: LayerPlan, shape: tuple[int, int, int]) -> str:
    what = "self-attention" if plan.kind == "attention" else f"a {plan.kind} block"
    return f"the output of {what}" + (f", grown to {shape[1]} pixels" if plan.grow else "")
