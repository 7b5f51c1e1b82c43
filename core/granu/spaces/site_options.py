"""Options that the core adds to a generator's where it derives perturbations from its sites; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from granu.plugins.offers import GeneratorOffer
from granu.plugins.options import describe_options, option, read_options

NORMS = ("rms", "linf")


@dataclass(frozen=True)
class SiteOptions:
    """Options of sites: samples that measure one standard deviation, the measure of sizes, and encoding of images.

    A reconstruction below `psnr` is not measured: it shows another image. 15 dB lies a little above what a plain grey
    image reaches, which is about 10 dB for digits and 12 for photographs.
    """

    samples: int = option(
        1000,
        "clean images that measure each neuron's standard deviation: drawn ones per class, encoded ones in all",
        low=2,
        high=1_000_000,
    )
    norm: str = option(
        "rms",
        "size of a change: root mean square or largest number, in standard deviations; at the site image L2 or "
        "L-infinity of pixels",
        choices=NORMS,
    )
    bands: str = option(
        "",
        "how many budgets joined sites may go: three numbers for coarse, middle and fine ones, such as 4+2+1, or by "
        "name, such as style*:1+noise*:6",
    )
    residual: bool = option(
        False, "add what the reconstruction of an encoded image lacks, so that a zero edit gives the image itself"
    )
    psnr: float = option(
        15.0, "encoded images with a reconstruction below this PSNR in dB are left out", low=0, high=99
    )


SITE_KEYS = ("samples", "norm", "bands", "residual", "psnr")
ENCODING_KEYS = ("residual", "psnr")  # those that say nothing about drawn images
SIZE_KEYS = ("norm", "bands")  # those that say how a change is measured


def read_site_options(offer: GeneratorOffer, given: Mapping[str, str], where: str) -> SiteOptions:
    """Read the options that were given; `samples` is by default the offer's. Raises OptionError."""
    options = read_options(SiteOptions, given, where)
    return options if "samples" in given else replace(options, samples=offer.samples)


def describe_site_options(offer: GeneratorOffer) -> list[tuple[str, str, str]]:
    """(name, default, help) of each that applies to the offer, with its defaults."""
    defaults = {"samples": str(offer.samples)}
    return [
        (name, defaults.get(name, default), help_)
        for name, default, help_ in describe_options(SiteOptions)
        if offer.encodes or name not in ENCODING_KEYS
    ]
