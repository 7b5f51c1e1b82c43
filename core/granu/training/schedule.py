"""The course of the learning rate and the momentum over a training."""

from __future__ import annotations

import math

from granu.training.settings import TrainingSettings

LOWEST = 0.04  # the rate at which a warm-up begins, as a share of the largest
SLOW, FAST = 0.95, 0.85  # momentum where the rate is low and where it is high (Smith and Topin 2018, section 4)


def rate_factor(settings: TrainingSettings, step: int, steps: int) -> float:
    """The learning rate of a step, from 0, as a share of the largest; `steps` are those of the whole training.

    one-cycle: a rise along a half cosine from 0.04 to 1, then a fall along a half cosine to 0 (Smith and Topin 2018,
    in the form that fast.ai gave it). The other schedules rise only where a warm-up is asked for.
    """
    warm = settings.rising * steps
    if step < warm:
        return LOWEST + (1 - LOWEST) * _half_cosine(step / warm)
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "milestones":
        epoch = step * settings.epochs // steps
        return settings.lr_factor ** sum(epoch >= milestone for milestone in settings.milestones)
    return 1 - _half_cosine((step - warm) / (steps - warm))


def momentum_at(settings: TrainingSettings, step: int, steps: int) -> float:
    """The momentum of a step: the setting, or with `cycle_momentum` the mirror image of the rate."""
    if not settings.cycle_momentum:
        return settings.momentum
    warm = settings.rising * steps
    risen = _half_cosine(step / warm) if step < warm else 1 - _half_cosine((step - warm) / (steps - warm))
    return SLOW + (FAST - SLOW) * risen


def _half_cosine(share: float) -> float:
    """From 0 to 1 along a half cosine."""
    return (1 - math.cos(math.pi * share)) / 2
