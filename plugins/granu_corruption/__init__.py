"""Plugin module of granu_corruption: corruptions after ImageNet-C, and weather whose pattern is searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import OptionError, PerturbationOffer, Suite, hookimpl, option, suggest
from granu_corruption.names import BENCHMARK, NAMES, WEATHER

if TYPE_CHECKING:
    from granu import BuildContext, Perturbation, SpaceFactory


@dataclass(frozen=True)
class CorruptionOptions:
    """Options of `corruption`."""

    name: str = option(
        "", f"one of {', '.join(NAMES)}; `all` is the first {len(BENCHMARK)}, whose mean the benchmark reports"
    )
    severity: tuple[float, ...] = option(
        (), "fixed severities from 0 to 5, such as 3 or 1+2+3+4+5; without it the smallest that fools is searched"
    )
    table: str = option(
        "auto",
        "parameters: those of CIFAR-10-C, of ImageNet-C, or by the size of the images",
        choices=("auto", "cifar", "imagenet"),
    )


@dataclass(frozen=True)
class WeatherOptions:
    """Options of `weather`."""

    name: str | None = option(None, "what lies over the image", choices=WEATHER)


def check(options: CorruptionOptions, context: BuildContext) -> None:
    """Require a known name and severities in range. OptionError otherwise."""
    if not options.name:
        raise OptionError("`corruption` names none; write it like corruption:fog,severity=3 or corruption:all")
    if options.name not in NAMES:
        raise OptionError(f"there is no corruption named '{options.name}'; {suggest(options.name, NAMES)}")
    for severity in options.severity:
        if not 0 <= severity <= 5:
            raise OptionError(f"`corruption:{options.name}`: severity={severity:g} is out of range; it must be 0 to 5")


def make(options: CorruptionOptions, context: BuildContext) -> Perturbation | SpaceFactory:
    from granu_corruption.perturbation import FixedCorruption, SearchedCorruption

    if options.severity:
        return FixedCorruption(options.name, options.severity, options.table)
    return SearchedCorruption(options)


def check_weather(options: WeatherOptions, context: BuildContext) -> None:
    """Require a name. OptionError otherwise."""
    if options.name is None:
        raise OptionError("say which weather: weather:fog, weather:snow or weather:all")


def make_weather(options: WeatherOptions, context: BuildContext) -> SpaceFactory:
    from granu_corruption.patterns import Weather

    assert options.name is not None  # check_weather
    return Weather(options.name)


def is_searched(options: CorruptionOptions) -> bool:
    return not options.severity


@hookimpl
def granu_perturbations() -> Sequence[PerturbationOffer]:
    return [
        PerturbationOffer(
            name="corruption",
            summary="noise, blur, weather and digital corruptions at fixed severities, or the smallest severity",
            options=CorruptionOptions,
            target="name",
            targets=BENCHMARK,
            searched=is_searched,
            make=make,
            check=check,
            note="corruptions are made in memory from seeds; accuracies are not comparable with those on the "
            "published files of ImageNet-C or CIFAR-10-C",
            cite=(
                "Hendrycks, Dietterich: Benchmarking neural network robustness to common corruptions and "
                "perturbations. ICLR 2019, arXiv:1903.12261",
            ),
        ),
        PerturbationOffer(
            name="weather",
            summary="smallest opacity of fog or snow whose pattern is searched",
            options=WeatherOptions,
            target="name",
            targets=WEATHER,
            make=make_weather,
            check=check_weather,
            cite=(
                "Kang, Sun, Hendrycks, Brown, Steinhardt: Testing robustness against unforeseen adversaries. 2019, "
                "arXiv:1908.08016",
            ),
        ),
    ]


@hookimpl
def granu_suites() -> Sequence[Suite]:
    file = Path(__file__).with_name("corruptions.toml")
    return [
        Suite(name="corruptions", summary="15 corruptions at severities 1 to 5, and their mean accuracy", file=file)
    ]
