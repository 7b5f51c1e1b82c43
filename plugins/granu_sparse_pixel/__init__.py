"""Plugin module of granu_sparse_pixel: the fewest pixels that must change, after SparseFool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import PerturbationOffer, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, Perturbation


@dataclass(frozen=True)
class SparsePixelOptions:
    """Options of `sparse-pixel`. Closest to the paper: solver=l1,lambda=3,classes=9,prune=0,refine=0."""

    solver: str = option(
        "pixel",
        "what is minimised: pixels, features (l0), or the sum of changes (l1, as in the paper)",
        choices=("pixel", "l0", "l1"),
    )
    lambda_: float = option(
        3.0, "how far behind the boundary to aim; near 1 gives fewer pixels in more passes", low=1, high=20
    )
    classes: int = option(3, "candidate classes whose boundaries are compared", low=1, high=1000)
    delta: float = option(1.0, "largest change of a value; a fraction such as 25/255 is allowed", low=1 / 255, high=1)
    mask: Path | None = option(None, "a grey image of the same size; pixels may change only where it is white")
    prune: int = option(16, "forward passes spent on undoing changes that are not needed", low=0, high=10_000)
    refine: int = option(10, "rounds of adding a few pixels and pruning again", low=0, high=1000)
    loops: int = option(20, "DeepFool runs to the boundary at most", low=1, high=1000)
    margin: float = option(1e-3, "logits by which another class must lead", low=0, high=1000)


def make(options: SparsePixelOptions, context: BuildContext) -> Perturbation:
    from granu_sparse_pixel.perturbation import SparsePixel

    return SparsePixel(options)


@hookimpl
def granu_perturbations() -> Sequence[PerturbationOffer]:
    return [
        PerturbationOffer(
            name="sparse-pixel",
            summary="the fewest pixels that must change",
            make=make,
            options=SparsePixelOptions,
            searched=False,
            cite=(
                "Modas, Moosavi-Dezfooli, Frossard: SparseFool. CVPR 2019, arXiv:1811.02248",
                "Cinà et al.: sigma-zero. ICLR 2025, arXiv:2402.01879",
            ),
        )
    ]
