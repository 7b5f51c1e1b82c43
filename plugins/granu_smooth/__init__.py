"""Plugin module of granu_smooth: smooth deformations and recolourings, and the suites of unseen attacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import PerturbationOffer, Suite, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, SpaceFactory


@dataclass(frozen=True)
class SpatialOptions:
    """Options of `spatial`."""

    points: int = option(
        8, "lattice points along the shorter side, between which displacements are interpolated", low=2, high=4096
    )


@dataclass(frozen=True)
class RecolorOptions:
    """Options of `recolor`."""

    points: int = option(
        8, "lattice points along each axis of the colours, between which shifts are interpolated", low=2, high=64
    )


def make_spatial(options: SpatialOptions, context: BuildContext) -> SpaceFactory:
    from granu_smooth.spatial import Spatial

    return Spatial(options.points)


def make_recolor(options: RecolorOptions, context: BuildContext) -> SpaceFactory:
    from granu_smooth.recolor import Recolor

    return Recolor(options.points)


SETTINGS = "Laidlaw, Singla, Feizi: Perceptual adversarial robustness. ICLR 2021, arXiv:2006.12655"


@hookimpl
def granu_perturbations() -> Sequence[PerturbationOffer]:
    return [
        PerturbationOffer(
            name="spatial",
            summary="smallest smooth deformation, measured by its largest displacement",
            options=SpatialOptions,
            make=make_spatial,
            cite=(
                "Xiao et al.: Spatially transformed adversarial examples. ICLR 2018, arXiv:1801.02612",
                SETTINGS,
            ),
        ),
        PerturbationOffer(
            name="recolor",
            summary="smallest smooth map of colours, measured by its largest shift of a colour",
            options=RecolorOptions,
            make=make_recolor,
            cite=(
                "Laidlaw, Feizi: Functional adversarial attacks. NeurIPS 2019, arXiv:1906.00001",
                SETTINGS,
            ),
        ),
    ]


@hookimpl
def granu_suites() -> Sequence[Suite]:
    folder = Path(__file__).parent
    return [
        Suite(
            name="unseen",
            summary="attacks of seven kinds at the sizes of Laidlaw et al. 2021, their union and mean",
            file=folder / "unseen.toml",
        ),
        Suite(
            name="unseen-digits",
            summary="the same attacks at larger sizes, for digits and other images in black and white",
            file=folder / "unseen-digits.toml",
        ),
    ]
