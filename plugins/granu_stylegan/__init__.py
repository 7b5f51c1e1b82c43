"""Plugin module of granu_stylegan: StyleGAN2 and StyleGAN3 as generators with a site at every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import GeneratorOffer, Site, hookimpl, option

if TYPE_CHECKING:
    from torch import Tensor

    from granu import BuildContext, WeightsHeader

NOISES = ("own", "stored", "none")
CANDIDATES = 32  # latents drawn for each image to encode, of which the nearest are the starts


@dataclass(frozen=True)
class StyleGANOptions:
    """Options of `stylegan:`."""

    weights: str = option(
        "stylegan-mnist",
        "name of shipped weights, a .pkl of NVIDIA's StyleGAN2-ADA or StyleGAN3, a state dict of a StyleGAN2, "
        "or a file written by `granu convert`",
    )
    truncation: float = option(1.0, "scale w towards its mean: lower values give more typical images", low=0, high=1)
    noise: str = option(
        "own", "noise maps of StyleGAN2: drawn for each image, those stored in the weights, or none", choices=NOISES
    )
    clamp: float | None = option(
        None,
        "clamp activations to ± this; for a state dict of a StyleGAN2, which does not state it (NVIDIA's recipes: 256)",
        low=1e-6,
    )
    starts: int = option(
        2, "starting points from which an image of --data is encoded; the nearest result counts", low=1, high=CANDIDATES
    )
    inversion_steps: int = option(100, "optimisation steps that encode an image of --data", low=1)


def make(options: StyleGANOptions, context: BuildContext) -> Any:
    from granu_stylegan.loading import make_generator

    return make_generator(options, context)


def sites(options: StyleGANOptions, context: BuildContext) -> Sequence[Site]:
    from granu_stylegan.loading import sites_of_weights

    return sites_of_weights(options, context)


def read(path: Path, options: StyleGANOptions) -> tuple[WeightsHeader, Mapping[str, Tensor]]:
    from granu_stylegan.loading import read_weights

    return read_weights(path, options)


def describe(options: StyleGANOptions, context: BuildContext) -> Mapping[str, str]:
    from granu_stylegan.loading import describe

    return describe(options, context)


@hookimpl
def granu_generators() -> Sequence[GeneratorOffer]:
    return [
        GeneratorOffer(
            name="stylegan",
            summary="StyleGAN2 and StyleGAN3, with classes or without: sites at latents, styles, noise maps and layers",
            options=StyleGANOptions,
            make=make,
            sites=sites,
            weights=lambda options: options.weights,
            read=read,
            describe=describe,
            encodes=True,
            cite=(
                "Karras et al. 2020, arXiv:1912.04958",
                "Karras et al. 2020, arXiv:2006.06676",
                "Karras et al. 2021, arXiv:2106.12423",
                "Abdal, Qin and Wonka 2019, arXiv:1904.03189",
            ),
        )
    ]
