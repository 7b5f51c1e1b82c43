"""The noise schedule and the timesteps of the DDIM sampler, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from granu import OptionError, WeightsError, shown
from granu_diffusion import values

MOST_TIMESTEPS = 100_000
PREDICTIONS = ("epsilon", "v_prediction", "sample")
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
SPACINGS = ("leading", "trailing", "linspace")
# schedulers of diffusers for the same discrete noise levels, which the DDIM sampler can walk through
SCHEDULERS = (
    "DDIMScheduler", "DDPMScheduler", "DDIMInverseScheduler", "PNDMScheduler", "LMSDiscreteScheduler",
    "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler",
)  # fmt: skip
CLIP_BY_DEFAULT = ("DDIMScheduler", "DDPMScheduler", "DDIMInverseScheduler")  # the others never clip


@dataclass(frozen=True)
class Schedule:
    """Noise levels 0 to `length` - 1 of the training, and what the network predicts at each.

    `clip` is the largest absolute value of the predicted image, None where it is not clipped. `betas` are the arguments
    of diffusers' DDIMScheduler that the levels depend on.
    """

    length: int
    prediction: str
    spacing: str
    offset: int
    clip: float | None
    betas: Mapping[str, Any]

    def timesteps(self, steps: int, where: str) -> list[int]:
        """The timesteps at which the sampler evaluates the network, falling, as diffusers' DDIMScheduler takes them.

        OptionError if the schedule has fewer than `steps` timesteps.
        """
        T, S = self.length, steps
        if S > T:
            raise OptionError(f"`{where}`: sampling-steps={S} is more than the {T} timesteps of these weights")
        if self.spacing == "linspace":
            chosen = [round(i * ((T - 1) / (S - 1))) for i in reversed(range(S))]
        elif self.spacing == "leading":
            chosen = [i * (T // S) + self.offset for i in reversed(range(S))]
        else:
            chosen = [round(T - i * (T / S)) - 1 for i in range(S)]
        if chosen[0] >= T:
            raise OptionError(f"`{where}`: sampling-steps={S} begins after the last of the {T} timesteps; take fewer")
        return chosen


def read_schedule(config: Mapping[str, Any], where: str) -> Schedule:
    """Read the configuration of a scheduler of diffusers. WeightsError if DDIM cannot walk through its levels."""
    name = config.get("_class_name", "DDIMScheduler")
    if name not in SCHEDULERS:
        raise WeightsError(
            f"{where}: the levels of a {shown(name)} are not those of DDIM; granu reads {', '.join(SCHEDULERS)}"
        )
    if config.get("thresholding"):
        raise WeightsError(f"{where}: dynamic thresholding is not supported; set thresholding to false")
    length = values.whole(config, "num_train_timesteps", 1000, 2, MOST_TIMESTEPS, where)
    prediction = values.one_of(config, "prediction_type", "epsilon", PREDICTIONS, where)
    zero_snr = values.truth(config, "rescale_betas_zero_snr", False, where)
    if zero_snr and prediction == "epsilon":
        raise WeightsError(
            f"{where}: rescale_betas_zero_snr needs v_prediction or sample: without signal there is no noise to predict"
        )
    clips = values.truth(config, "clip_sample", name in CLIP_BY_DEFAULT, where)
    clip_range = values.number(config, "clip_sample_range", 1.0, 1e-6, 1e6, where)
    betas = {
        "num_train_timesteps": length,
        "beta_start": values.number(config, "beta_start", 0.0001, 1e-9, 1, where),
        "beta_end": values.number(config, "beta_end", 0.02, 1e-9, 1, where),
        "beta_schedule": values.one_of(config, "beta_schedule", "linear", BETAS, where),
        "trained_betas": _trained(config.get("trained_betas"), length, where),
        "rescale_betas_zero_snr": zero_snr,
        "set_alpha_to_one": values.truth(config, "set_alpha_to_one", True, where),
    }
    return Schedule(
        length,
        prediction,
        values.one_of(config, "timestep_spacing", "leading", SPACINGS, where),
        values.whole(config, "steps_offset", 0, 0, length, where),
        clip_range if clips else None,
        betas,
    )


def _trained(betas: Any, length: int, where: str) -> list[float] | None:
    if betas is None:
        return None
    whole = isinstance(betas, list) and len(betas) == length
    if not whole or not all(type(beta) is float and 0 < beta < 1 for beta in betas):
        raise WeightsError(f"{where}: trained_betas must be {length} numbers between 0 and 1")
    return list(betas)
