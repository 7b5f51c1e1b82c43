"""Plugin module of granu_prime: training on mixtures of random filters, recolourings and deformations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu import DefenseOffer, OptionError, PerturbationOffer, hookimpl, option, suggest

if TYPE_CHECKING:
    from granu import BuildContext, Defense, Perturbation, SpaceFactory

PRIMITIVES = ("spatial", "colour", "spectral")  # coarse to fine
KERNEL = "side of the filters, an odd number of pixels"
LARGEST = 5.0  # the severity of the strongest change that training draws
HIGHEST = 10.0  # that may be asked for


@dataclass(frozen=True)
class MixtureOptions:
    """Options of both defenses."""

    jsd: bool | None = option(
        None, "train on images and two augmented views that must agree; by default yes, unless another defense follows"
    )
    weight: float = option(12.0, "weight of the Jensen-Shannon divergence between the views", low=0, high=1000)
    width: int = option(3, "chains of primitives that are mixed", low=1, high=16)
    depth: int = option(3, "primitives in a chain, at most; the number is drawn", low=1, high=16)


@dataclass(frozen=True)
class PrimeOptions(MixtureOptions):
    """Options of the defense `prime`."""

    primitives: tuple[str, ...] = option(PRIMITIVES, "those that are mixed, joined by +")
    strength: float = option(1.0, "factor on every change; 1 is as published, 0 changes nothing", low=0, high=10)
    preset: str = option(
        "auto",
        "published bounds for small images or photographs; auto chooses by the images' size",
        choices=("auto", "cifar", "imagenet"),
    )
    kernel: int = option(3, KERNEL, low=3, high=31)
    sigma: float = option(4.0, "largest standard deviation of a filter's entries", low=0, high=100)
    legacy_offset: bool = option(
        False, "place the filters' identity one pixel off the centre, as the code of the published numbers does"
    )
    colour_cut: int | None = option(None, "highest frequency of the colour maps; by default of the preset", low=1)
    colour_temperature: float | None = option(
        None, "largest variance of their coefficients; by default of the preset", low=0, high=100
    )
    colour_band: int | None = option(
        None, "frequencies in a colour map, 0 for all up to the highest; by default of the preset", low=0
    )
    warp_cut: int | None = option(None, "highest frequency of the deformations; by default of the preset", low=3)


@dataclass(frozen=True)
class AugmixOptions(MixtureOptions):
    """Options of the defense `augmix`."""

    severity: float = option(3.0, "highest level of the operations, of 10", low=0.1, high=10)


@dataclass(frozen=True)
class ChangeOptions:
    """Options of the perturbation `prime`."""

    primitive: str | None = option(None, "which primitive changes the images", choices=PRIMITIVES)
    severity: tuple[float, ...] = option(
        (),
        "one random change at each of these sizes, joined by +, in place of a search; 5 is the strongest of training",
    )
    kernel: int = option(3, KERNEL, low=3, high=31)
    colour_cut: int = option(20, "frequencies of the colour maps, from the lowest", low=1, high=1000)
    warp_cut: int = option(10, "highest frequency of the deformations", low=2, high=1000)


def check_defense(options: PrimeOptions, context: BuildContext) -> None:
    """Require known primitives and an odd kernel. OptionError otherwise."""
    unknown = [name for name in options.primitives if name not in PRIMITIVES]
    if unknown:
        raise OptionError(f"prime has no primitive '{unknown[0]}'; {suggest(unknown[0], PRIMITIVES)}")
    _check_kernel(options.kernel)


def check_change(options: ChangeOptions, context: BuildContext) -> None:
    """Require a primitive and an odd kernel. OptionError otherwise."""
    if options.primitive is None:
        named = ", ".join(f"prime:{name}" for name in PRIMITIVES)
        raise OptionError(f"say which primitive: {named} or prime:all")
    for severity in options.severity:
        if not 0 < severity <= HIGHEST:
            raise OptionError(f"severity={severity:g} is out of range; it must be above 0 and at most {HIGHEST:g}")
    _check_kernel(options.kernel)


def _check_kernel(side: int) -> None:
    if side % 2 == 0:
        raise OptionError(f"kernel={side} has no centre; choose an odd number, such as {side + 1}")


def make_prime(options: PrimeOptions, context: BuildContext) -> Defense:
    from granu_prime.defense import AugmentedTraining
    from granu_prime.families import Prime

    return AugmentedTraining("prime", Prime(options), options.jsd, options.weight)


def make_augmix(options: AugmixOptions, context: BuildContext) -> Defense:
    from granu_prime.defense import AugmentedTraining
    from granu_prime.families import augmix

    return AugmentedTraining("augmix", augmix(options), options.jsd, options.weight)


def make_change(options: ChangeOptions, context: BuildContext) -> SpaceFactory | Perturbation:
    from granu_prime.spaces import PrimeChange, RandomChange

    change = PrimeChange(options)
    return RandomChange(change, options.severity) if options.severity else change


PAPER = "Modas et al.: PRIME: A few primitives can boost robustness to common corruptions. ECCV 2022, arXiv:2112.13547"
AUGMIX = "Hendrycks et al.: AugMix. ICLR 2020, arXiv:1912.02781"


@hookimpl
def granu_defenses() -> Sequence[DefenseOffer]:
    return [
        DefenseOffer(
            name="prime",
            summary="train on mixtures of random filters, recolourings and deformations",
            options=PrimeOptions,
            make=make_prime,
            check=check_defense,
            cite=(PAPER,),
        ),
        DefenseOffer(
            name="augmix",
            summary="train on mixtures of rotations, shears, translations and histogram operations",
            options=AugmixOptions,
            make=make_augmix,
            cite=(AUGMIX,),
        ),
    ]


@hookimpl
def granu_perturbations() -> Sequence[PerturbationOffer]:
    return [
        PerturbationOffer(
            name="prime",
            summary="a deformation, recolouring or filter of PRIME: the smallest, or a random one of some severity",
            options=ChangeOptions,
            target="primitive",
            targets=PRIMITIVES,
            make=make_change,
            check=check_change,
            searched=lambda options: not options.severity,
            cite=(PAPER,),
        )
    ]
