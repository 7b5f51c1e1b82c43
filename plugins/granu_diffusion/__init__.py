"""Plugin module of granu_diffusion: diffusion models as generators whose sites are noise levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from granu import GeneratorOffer, Site, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext


@dataclass(frozen=True)
class DiffusionOptions:
    """Options of `diffusion:`."""

    weights: str = option(
        "diffusion-mnist",
        "name of shipped weights, a granu weights file, or a folder of diffusers with model_index.json",
    )
    sampling_steps: int = option(25, "steps of the deterministic DDIM sampler", low=2, high=1000)
    guidance: float = option(
        1.0, "scale of classifier-free guidance, for weights with an empty class; 1 disables it", low=0, high=100
    )
    classes: tuple[str, ...] = option((), "classes to draw, by name or number; by default all")
    clip: bool | None = option(
        None,
        "clip the predicted image to its range at each step; by default as the scheduler says. Encoding is more exact "
        "without",
    )
    iterations: int = option(
        20, "encoding: most fixed-point iterations for each step; 1 is plain DDIM inversion", low=1, high=1000
    )
    tolerance: float = option(
        1e-5, "encoding: iterations of a step end at this error (RMS, of images in [-1, 1])", low=0, high=1
    )
    exact: bool = option(
        False, "encoding: keep the error that remains at each step and add it when sampling, so that images are exact"
    )


def make(options: DiffusionOptions, context: BuildContext) -> Any:
    from granu_diffusion.loading import make_generator

    return make_generator(options, context)


def sites(options: DiffusionOptions, context: BuildContext) -> Sequence[Site]:
    from granu_diffusion.planning import sites_of_weights

    return sites_of_weights(options, context)


def check(options: DiffusionOptions, context: BuildContext) -> None:
    from granu_diffusion.planning import check

    check(options, context)


def describe(options: DiffusionOptions, context: BuildContext) -> Mapping[str, str]:
    from granu_diffusion.planning import describe

    return describe(options, context)


@hookimpl
def granu_generators() -> Sequence[GeneratorOffer]:
    return [
        GeneratorOffer(
            name="diffusion",
            summary="diffusion models with a deterministic sampler: sites at noise levels, middle block and image",
            options=DiffusionOptions,
            make=make,
            check=check,
            sites=sites,
            weights=lambda options: options.weights,
            describe=describe,
            draws=True,
            encodes=True,
            samples=100,
            cite=(
                "Song, Meng and Ermon 2021 (DDIM), arXiv:2010.02502",
                "Ho, Jain and Abbeel 2020 (DDPM), arXiv:2006.11239",
                "Dhariwal and Nichol 2021 (class-conditional diffusion, inversion), arXiv:2105.05233",
                "Peebles and Xie 2023 (DiT), arXiv:2212.09748",
                "Rombach et al. 2022 (latent diffusion), arXiv:2112.10752",
                "Pan et al. 2023 (fixed-point inversion), arXiv:2309.04907",
            ),
        )
    ]
