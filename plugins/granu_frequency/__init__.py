"""Plugin module of granu_frequency: changes within bands of frequencies, and of the coefficients of JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu import OptionError, PerturbationOffer, hookimpl, option
from granu_frequency.windows import COUNT

if TYPE_CHECKING:
    from granu import BuildContext, SpaceFactory


@dataclass(frozen=True)
class FrequencyOptions:
    """Options of `frequency`: a band of the sweep by its number, or any band by `start` and `width`."""

    window: int | None = option(None, "number of the band, from low to high; `all` is the sweep", low=0)
    windows: int = option(
        COUNT, "bands of the sweep; the paper has 21 at 28 pixels, 13 at 32, 14 at 224", low=2, high=1000
    )
    shape: str = option(
        "window",
        "a square of frequencies on the diagonal, a ring, or everything below or above",
        choices=("window", "ring", "low", "high"),
    )
    start: int | None = option(None, "lowest frequency, instead of a number", low=0)
    width: int | None = option(None, "frequencies in the band along each axis; by default as in the sweep", low=1)
    box: bool = option(
        True, "keep images within [0, 1]; box=no measures distances beyond it, as the paper does with search=deepfool"
    )


@dataclass(frozen=True)
class JpegOptions:
    """Options of `jpeg`."""

    quality: int = option(50, "quality of the JPEG whose quantization steps are the unit", low=1, high=100)


def check(options: FrequencyOptions, context: BuildContext) -> None:
    """Require either a number within the sweep or a start. OptionError otherwise."""
    if options.window is not None and options.start is not None:
        raise OptionError(f"frequency:{options.window},start={options.start} names two bands; give only one of them")
    if options.window is None and options.start is None:
        last = options.windows - 1
        raise OptionError(f"say which frequencies: frequency:0 to frequency:{last}, frequency:all, or start=")
    if options.window is not None and options.window >= options.windows:
        raise OptionError(
            f"frequency:{options.window} is beyond the sweep, which goes from 0 to {options.windows - 1}; "
            "choose a longer one with windows="
        )


def sweep(options: FrequencyOptions) -> Sequence[str]:
    return [str(number) for number in range(options.windows)]


def make(options: FrequencyOptions, context: BuildContext) -> SpaceFactory:
    from granu_frequency.space import Frequency

    return Frequency(options)


def make_jpeg(options: JpegOptions, context: BuildContext) -> SpaceFactory:
    from granu_frequency.jpeg import Jpeg

    return Jpeg(options.quality)


@hookimpl
def granu_perturbations() -> Sequence[PerturbationOffer]:
    return [
        PerturbationOffer(
            name="frequency",
            summary="smallest change within a band of frequencies",
            options=FrequencyOptions,
            target="window",
            targets=sweep,
            make=make,
            check=check,
            cite=("Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard: Hold me tight! NeurIPS 2020, arXiv:2002.06349",),
        ),
        PerturbationOffer(
            name="jpeg",
            summary="smallest change of the coefficients that a JPEG stores, in quantization steps",
            options=JpegOptions,
            make=make_jpeg,
            cite=(
                "Kang, Sun, Hendrycks, Brown, Steinhardt: Testing robustness against unforeseen adversaries. 2019, "
                "arXiv:1908.08016",
            ),
        ),
    ]
