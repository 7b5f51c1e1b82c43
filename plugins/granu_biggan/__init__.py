"""Plugin module of granu_biggan: BigGAN and BigGAN-deep as generators with a site at every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import GeneratorOffer, Site, hookimpl, option

if TYPE_CHECKING:
    from torch import Tensor

    from granu import BuildContext, WeightsHeader

CANDIDATES = 32  # latents drawn for each image to encode, of which the nearest are the starts


@dataclass(frozen=True)
class BigGANOptions:
    """Options of `biggan:`."""

    weights: str = option(
        "biggan-mnist",
        "name of shipped weights, a folder with config.json and pytorch_model.bin, a .pth of BigGAN-PyTorch, "
        "or a file written by `granu convert`",
    )
    truncation: float | None = option(
        None,
        "scale of the truncated normal latents; by default 0.4 if the weights hold norm statistics for it, else 1",
        low=0,
        high=1,
    )
    classes: tuple[str, ...] = option((), "classes to draw, by name or number; by default all")
    depth: int | None = option(
        None, "blocks per size of a BigGAN-deep of BigGAN-PyTorch; by default read from its name, else 2", low=1
    )
    epsilon: float | None = option(
        None,
        "epsilon of the conditional norms of a BigGAN-PyTorch (its BN_eps); by default 1e-4 if the file was converted "
        "from TensorFlow Hub, else 1e-5",
        low=0,
        high=1,
    )
    starts: int = option(
        2, "starting points from which an image of --data is encoded; the nearest result counts", low=1, high=CANDIDATES
    )
    inversion_steps: int = option(100, "optimisation steps that encode an image of --data", low=1)


def make(options: BigGANOptions, context: BuildContext) -> Any:
    from granu_biggan.loading import make_generator

    return make_generator(options, context)


def sites(options: BigGANOptions, context: BuildContext) -> Sequence[Site]:
    from granu_biggan.loading import sites_of_weights

    return sites_of_weights(options, context)


def check(options: BigGANOptions, context: BuildContext) -> None:
    from granu_biggan.loading import check

    check(options, context)


def read(path: Path, options: BigGANOptions) -> tuple[WeightsHeader, Mapping[str, Tensor]]:
    from granu_biggan.loading import read_weights

    return read_weights(path, options)


def describe(options: BigGANOptions, context: BuildContext) -> Mapping[str, str]:
    from granu_biggan.loading import describe

    return describe(options, context)


@hookimpl
def granu_generators() -> Sequence[GeneratorOffer]:
    return [
        GeneratorOffer(
            name="biggan",
            summary="class-conditional BigGAN and BigGAN-deep: sites at latent, class embedding and blocks",
            options=BigGANOptions,
            make=make,
            check=check,
            sites=sites,
            weights=lambda options: options.weights,
            read=read,
            describe=describe,
            encodes=True,
            cite=("Brock, Donahue and Simonyan 2019, arXiv:1809.11096",),
        )
    ]
