"""Plugin module of granu_pixel: changes to pixels, measured in L2, L-infinity, L1 or root mean square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu import PerturbationOffer, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, SpaceFactory

NORMS = ("l2", "linf", "l1")
CHOICES = (*NORMS, "rms")


@dataclass(frozen=True)
class PixelOptions:
    """Options of `pixel:`."""

    norm: str = option(
        "l2", "norm that measures a change; rms is L2 for a value of a pixel, alike at all image sizes", choices=CHOICES
    )


def make(options: PixelOptions, context: BuildContext) -> SpaceFactory:
    from granu_pixel.perturbation import Pixel

    return Pixel(options.norm)


@hookimpl
def granu_perturbations() -> Sequence[PerturbationOffer]:
    return [
        PerturbationOffer(
            name="pixel",
            summary="smallest change to pixels",
            options=PixelOptions,
            target="norm",
            targets=NORMS,
            make=make,
            cite=(
                "Rony et al.: Decoupling direction and norm. CVPR 2019, arXiv:1811.09600",
                "Pintor et al.: Fast minimum-norm adversarial attacks. NeurIPS 2021, arXiv:2102.12827",
            ),
        )
    ]
