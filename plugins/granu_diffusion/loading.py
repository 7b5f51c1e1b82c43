"""Generators from weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from granu_diffusion.autoencoder import Autoencoder, Pixels
from granu_diffusion.classes import class_names
from granu_diffusion.denoiser import Denoiser
from granu_diffusion.formats import open_source
from granu_diffusion.generator import DiffusionGenerator
from granu_diffusion.networks import build_part, signal_levels
from granu_diffusion.planning import check_guidance, choose, plan_layout
from granu_diffusion.sampler import Sampler, find_factors
from granu_diffusion.text import embed_empty_prompt

if TYPE_CHECKING:
    from granu import BuildContext
    from granu_diffusion import DiffusionOptions


def make_generator(options: DiffusionOptions, context: BuildContext) -> DiffusionGenerator:
    """Build the networks that a file or folder describes, and load their weights strictly."""
    source = open_source(context.weights(options.weights))
    config = source.config
    layout = plan_layout(config, options)
    check_guidance(config, options)
    labels = choose(config, options)
    clip = config.schedule.clip if options.clip is None else (config.schedule.clip or 1.0) if options.clip else None
    denoiser = Denoiser(
        build_part(source, config.network, context.device),
        conditional=bool(config.embedded_classes),
        prompt=embed_empty_prompt(source).to(context.device) if config.text_conditioned else None,
        guidance=options.guidance,
        empty_class=config.empty_class,
    )
    levels, last = signal_levels(config.schedule)
    factors = find_factors(layout.timesteps, config.schedule.length, levels, last, config.schedule.prediction)
    return DiffusionGenerator(
        Sampler(denoiser, factors, clip),
        Pixels() if config.autoencoder is None else Autoencoder(build_part(source, config.autoencoder, context.device)),
        layout,
        class_names(config.class_names),
        labels,
        _fingerprint(context.used_weights[options.weights], options, clip),
        options.iterations,
        options.tolerance,
        options.exact,
    )


def _fingerprint(sha256: str, options: DiffusionOptions, clip: float | None) -> str:
    return f"{sha256} steps {options.sampling_steps} guidance {options.guidance:g} clip {clip}"
