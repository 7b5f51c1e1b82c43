"""Plugin module of granu_stylegan: StyleGAN2 and StyleGAN3 as generators whose inside can be edited at every layer."""

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


@dataclass(frozen=True)
class StyleGANOptions:
    """What a person may say after `stylegan:`."""

    weights: str = option(
        "stylegan-mnist",
        "shipped weights by name, a .pkl of NVIDIA's StyleGAN2-ADA or StyleGAN3, a state dict of a StyleGAN2, "
        "or what `granu convert` wrote",
    )
    truncation: float = option(1.0, "pull w towards its mean, towards typical images", low=0, high=1)
    noise: str = option("own", "noise maps of StyleGAN2: each image's own, the stored ones, or none", choices=NOISES)


def make(options: StyleGANOptions, context: BuildContext) -> Any:
    from granu_stylegan.loading import make_generator

    return make_generator(options, context)


def sites(options: StyleGANOptions, context: BuildContext) -> Sequence[Site]:
    from granu_stylegan.loading import sites_of_weights

    return sites_of_weights(options, context)


def read(path: Path) -> tuple[WeightsHeader, Mapping[str, Tensor]]:
    from granu_stylegan.loading import read_weights

    return read_weights(path)


@hookimpl
def granu_generators() -> Sequence[GeneratorOffer]:
    return [
        GeneratorOffer(
            name="stylegan",
            summary="StyleGAN2 and StyleGAN3, with classes or without: latents, styles, noise maps and layers",
            options=StyleGANOptions,
            make=make,
            sites=sites,
            weights=lambda options: options.weights,
            read=read,
            cite=(
                "Karras et al. 2020, arXiv:1912.04958",
                "Karras et al. 2020, arXiv:2006.06676",
                "Karras et al. 2021, arXiv:2106.12423",
            ),
        )
    ]
