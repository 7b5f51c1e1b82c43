"""Building the networks of a pipeline with diffusers, from their configuration alone, and loading them strictly."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from granu import WeightsError, build_strictly, reason, shown, without_broken_torchvision
from granu_diffusion.config import Part
from granu_diffusion.formats import Source
from granu_diffusion.planning import missing_extra
from granu_diffusion.schedule import Schedule

IGNORED = (None, False, "default")  # an unknown key with such a value asks for nothing


def import_diffusers() -> ModuleType:
    """Import diffusers. PluginError if it is not installed."""
    try:
        with without_broken_torchvision():
            import diffusers  # type: ignore[import-not-found, unused-ignore]

            # diffusers imports lazily, and torchvision is visible again behind this block
            for name in ("UNet2DModel", "UNet2DConditionModel", "DiTTransformer2DModel", "AutoencoderKL", "VQModel"):
                getattr(diffusers, name)
            diffusers.DDIMScheduler  # noqa: B018
    except ModuleNotFoundError as problem:
        raise missing_extra("diffusers") from problem
    except (ImportError, RuntimeError, AttributeError) as problem:
        raise missing_extra(f"a newer diffusers (importing it fails: {reason(problem)})") from problem
    return diffusers


def build_part(source: Source, part: Part, device: str) -> nn.Module:
    """Build a network and load its tensors. WeightsError unless they fit exactly."""
    kind = getattr(import_diffusers(), part.kind)
    arguments = known_arguments(part, inspect.signature(kind.__init__).parameters)
    state, file = source.read(part.name)
    network = build_strictly(partial(kind, **arguments), state, file)
    return network.eval().requires_grad_(False).to(device)


def known_arguments(part: Part, known: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments in a configuration. WeightsError if one that asks for something is unknown to the class."""
    given = {key: value for key, value in part.config.items() if not key.startswith("_")}
    for key, value in given.items():
        if key not in known and value not in IGNORED:
            raise WeightsError(
                f"{part.where}: the installed diffusers knows no {shown(key)} of a {part.kind}; install a newer one"
            )
    return {key: value for key, value in given.items() if key in known}


def signal_levels(schedule: Schedule) -> tuple[Tensor, float]:
    """The share of signal in the variance at each timestep, (T,) float64, and that behind the last step."""
    scheduler = import_diffusers().DDIMScheduler(**schedule.betas)  # all of them checked by read_schedule
    levels = scheduler.alphas_cumprod.to(torch.float64)
    if not levels.isfinite().all() or (levels < 0).any() or (levels > 1).any():
        raise WeightsError("the scheduler's betas give no noise levels; they must lie between 0 and 1")
    return levels, float(scheduler.final_alpha_cumprod)
