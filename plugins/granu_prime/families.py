"""The primitives that options select, at the strengths of a preset."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from granu import Streams
from granu_prime import AugmixOptions, PrimeOptions
from granu_prime.augmix import operations
from granu_prime.colour import Colour
from granu_prime.mixing import Mixture, Primitive
from granu_prime.presets import preset_for
from granu_prime.spatial import Spatial
from granu_prime.spectral import Spectral


class Prime:
    """PRIME's mixture for images of any size: where an option is left out, its preset is chosen by their size."""

    def __init__(self, options: PrimeOptions) -> None:
        self.options = options

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to augmented images of the same shape and range."""
        return self.mixture((images.shape[-2], images.shape[-1]))(images, streams)

    def mixture(self, size: tuple[int, int]) -> Mixture:
        """The mixture for images of `size` (H, W)."""
        primitives = [FAMILIES[name](self.options, size) for name in self.options.primitives]
        return Mixture(primitives, self.options.width, self.options.depth)


def augmix(options: AugmixOptions) -> Mixture:
    """The mixture of AugMix."""
    return Mixture(operations(options.severity), options.width, options.depth)


def _spectral(options: PrimeOptions, size: tuple[int, int]) -> Primitive:
    return Spectral(options.kernel, options.sigma, options.strength, options.legacy_offset)


def _colour(options: PrimeOptions, size: tuple[int, int]) -> Primitive:
    preset = preset_for(options.preset, size)
    return Colour(
        preset.colour_cut if options.colour_cut is None else options.colour_cut,
        preset.colour_temperature if options.colour_temperature is None else options.colour_temperature,
        preset.colour_band if options.colour_band is None else options.colour_band,
        options.strength,
    )


def _spatial(options: PrimeOptions, size: tuple[int, int]) -> Primitive:
    preset = preset_for(options.preset, size)
    return Spatial(preset.warp_cut if options.warp_cut is None else options.warp_cut, options.strength)


FAMILIES: Mapping[str, Callable[[PrimeOptions, tuple[int, int]], Primitive]] = {
    "spectral": _spectral,
    "colour": _colour,
    "spatial": _spatial,
}
