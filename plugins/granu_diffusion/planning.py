"""Checks and description of a diffusion model before it is built: its sites, its contents, its mistakes."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from granu import GranuError, OptionError, PluginError, Site
from granu_diffusion.classes import choose_classes, class_names
from granu_diffusion.formats import open_source
from granu_diffusion.layout import Layout

if TYPE_CHECKING:
    from granu import BuildContext
    from granu_diffusion import DiffusionOptions
    from granu_diffusion.config import PipelineConfig

SHOWN_CLASSES = 20
NAMES = {"UNet2DModel": "U-Net", "UNet2DConditionModel": "U-Net with text", "DiTTransformer2DModel": "DiT"}


def spec(options: DiffusionOptions) -> str:
    """The beginning of the spec, for messages."""
    return f"diffusion:weights={options.weights}"


def sites_of_weights(options: DiffusionOptions, context: BuildContext) -> Sequence[Site]:
    """List the sites, coarse to fine."""
    return plan_layout(open_source(context.locate(options.weights)).config, options).sites()


def plan_layout(config: PipelineConfig, options: DiffusionOptions) -> Layout:
    """The sampler's states. OptionError if there are fewer timesteps than `sampling-steps=`."""
    return Layout(config, config.schedule.timesteps(options.sampling_steps, spec(options)))


def check(options: DiffusionOptions, context: BuildContext) -> None:
    """Check that the weights are a diffusion model that these options fit, and that diffusers is installed."""
    config = open_source(context.locate(options.weights)).config
    plan_layout(config, options)
    check_guidance(config, options)
    choose(config, options)
    for package in ("diffusers", "transformers") if config.text_conditioned else ("diffusers",):
        if importlib.util.find_spec(package) is None:
            raise missing_extra(package)


def missing_extra(package: str) -> GranuError:
    """The error where a package of the extra is not installed."""
    return PluginError(f"`diffusion` needs {package}; install it with pip install 'granu[diffusion]'")


def check_guidance(config: PipelineConfig, options: DiffusionOptions) -> None:
    """OptionError if guidance is asked of weights that have no empty class to guide away from."""
    if options.guidance == 1 or config.empty_class is not None:
        return
    if config.text_conditioned:
        why = "granu conditions these weights on the empty prompt, from which guidance does not lead away"
    elif not config.embedded_classes:
        why = "these weights are unconditional"
    else:
        why = "these weights have no empty class; they must embed one class more than they name"
    raise OptionError(f"`{spec(options)}`: guidance={options.guidance:g} is not possible, since {why}")


def choose(config: PipelineConfig, options: DiffusionOptions) -> Sequence[int]:
    """The class numbers to draw."""
    return choose_classes(options.classes, config.class_names, f"diffusion:classes={','.join(options.classes)}")


def describe(options: DiffusionOptions, context: BuildContext) -> Mapping[str, str]:
    """Describe the weights for `granu info`."""
    config = open_source(context.locate(options.weights)).config
    names = class_names(config.class_names)
    channels, height, width = config.image_shape
    about = {
        "architecture": NAMES[config.network.kind],
        "classes": ", ".join(names) if len(names) <= SHOWN_CLASSES else f"{len(names)}, {names[0]} to {names[-1]}",
        "empty class for guidance": "yes" if config.empty_class is not None else "no",
        "images": f"{height} x {width}, {channels} channel{'s' if channels > 1 else ''}",
        "schedule": f"{config.schedule.betas['beta_schedule']}, {config.schedule.length} timesteps",
        "prediction": config.schedule.prediction,
        "predicted image clipped": "no" if config.schedule.clip is None else f"to {config.schedule.clip:g}",
    }
    if config.autoencoder is not None:
        about["autoencoder"] = f"{config.autoencoder.kind}, latents {' x '.join(map(str, config.state_shape))}"
    if not names:
        about["classes"] = "none (the empty prompt)" if config.text_conditioned else "none (unconditional)"
    return about
