"""Plugin module of granu_style: changes of light, colour, sharpness and viewpoint, each with a size in its own unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granu import OptionError, PerturbationOffer, Suite, hookimpl, option, suggest

if TYPE_CHECKING:
    from granu import BuildContext, SpaceFactory

NAMES = (
    "rotation", "translation", "scale", "perspective", "blur", "brightness", "contrast", "gamma", "tint", "hue",
    "saturation", "greyscale",
)  # fmt: skip
COLOUR_ONLY = ("tint", "hue", "saturation", "greyscale")
FILLS = ("reflect", "edge", "black")


@dataclass(frozen=True)
class StyleOptions:
    """Options of `style`."""

    name: str = option("", f"one of {', '.join(NAMES)}")
    fill: str = option("reflect", "what a moved image shows beyond its edges", choices=FILLS)


def check(options: StyleOptions, context: BuildContext) -> None:
    """Require a known name. OptionError otherwise."""
    if not options.name:
        raise OptionError("`style` names none; write it like style:rotation or style:all")
    if options.name not in NAMES:
        raise OptionError(f"there is no style named '{options.name}'; {suggest(options.name, NAMES)}")


def make(options: StyleOptions, context: BuildContext) -> SpaceFactory:
    from granu_style.space import StylePerturbation

    return StylePerturbation(options.name, options.fill)


@hookimpl
def granu_perturbations() -> Sequence[PerturbationOffer]:
    return [
        PerturbationOffer(
            name="style",
            summary="smallest change of light, colour, sharpness or viewpoint",
            options=StyleOptions,
            target="name",
            targets=NAMES,
            make=make,
            check=check,
        )
    ]


@hookimpl
def granu_suites() -> Sequence[Suite]:
    file = Path(__file__).with_name("style.toml")
    return [
        Suite(name="style", summary="the smallest change of light, colour, sharpness and viewpoint, each", file=file)
    ]
