"""Plugin module of granu_autoencoder: autoencoders of photographs, with a site at every stage of the decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from granu import GeneratorOffer, Site, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext


@dataclass(frozen=True)
class AutoencoderOptions:
    """Options of `autoencoder:`."""

    weights: str = option(
        "",
        "a diffusers folder of an AutoencoderKL, AutoencoderTiny or VQModel, or of a pipeline with one; a folder with "
        "NAME_encoder and NAME_decoder as .safetensors or .pth (the TAESD family), or either file",
    )
    size: str = option(
        "224", "height and width of the images, such as 224 or 192x256; most autoencoders need a multiple of 8"
    )
    checkpoint: str = option(
        "auto",
        "whether gradients recompute the inside of each block instead of keeping it: less memory, more time; auto "
        "does so for an AutoencoderKL or VQModel above 320 x 320 pixels",
        choices=("auto", "yes", "no"),
    )


def make(options: AutoencoderOptions, context: BuildContext) -> Any:
    from granu_autoencoder.loading import make_generator

    return make_generator(options, context)


def sites(options: AutoencoderOptions, context: BuildContext) -> Sequence[Site]:
    from granu_autoencoder.loading import sites_of_weights

    return sites_of_weights(options, context)


def check(options: AutoencoderOptions, context: BuildContext) -> None:
    from granu_autoencoder.loading import check

    check(options, context)


def describe(options: AutoencoderOptions, context: BuildContext) -> Mapping[str, str]:
    from granu_autoencoder.loading import describe

    return describe(options, context)


@hookimpl
def granu_generators() -> Sequence[GeneratorOffer]:
    return [
        GeneratorOffer(
            name="autoencoder",
            summary="autoencoders of your own images: sites at the latent and the stages of the decoder",
            options=AutoencoderOptions,
            make=make,
            check=check,
            sites=sites,
            weights=lambda options: options.weights,
            describe=describe,
            draws=False,
            encodes=True,
            samples=100,
            cite=(
                "Rombach, Blattmann, Lorenz, Esser and Ommer 2022, arXiv:2112.10752 (AutoencoderKL)",
                "Bohan 2023, github.com/madebyollin/taesd (AutoencoderTiny)",
                "Esser, Rombach and Ommer 2021, arXiv:2012.09841 (VQModel)",
            ),
        )
    ]
