"""A problem of two classes, a classifier that noise breaks and one that holds: small enough to train in a second."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from granu import HardenResult
from granu.hardening.api import Progress, plan_hardening
from granu.hardening.harden import harden as run_hardening
from granu.training.api import SilentListener

SIDE = 6
SETTINGS = {"rounds": 2, "count": 12, "clean_images": 20, "epochs": 6, "keep": 1}
TRAINING = {"lr": 0.02, "batch": 16, "hold_out": 0.2}
CHANGE = "pixel:l2,steps=30"


def images(count: int = 140) -> tuple[Tensor, Tensor]:
    """Noise that is brighter on the left (class 0) or on the right."""
    pixels = torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.5
    labels = torch.arange(count) % 2
    pixels[labels == 0, :, :, :3] += 0.4
    pixels[labels == 1, :, :, 3:] += 0.4
    return pixels, labels


def linear(noise: float) -> nn.Module:
    """The difference of the halves; `noise` adds weights that say nothing, so that small changes break it."""
    difference = torch.ones(SIDE, SIDE)
    difference[:, :3] = -1
    random = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    random -= random.mean(dim=1, keepdim=True)
    weights = (difference + noise * (random - random.mean())).flatten()
    layer = nn.Linear(SIDE * SIDE, 2)
    layer.load_state_dict({"weight": torch.stack([-weights, weights]) / 4, "bias": torch.zeros(2)})
    return nn.Sequential(nn.Flatten(), layer)


def weak() -> nn.Module:
    return linear(4.0)


def strong() -> nn.Module:
    return linear(0.0)


def images_that_strength_costs(count: int = 140) -> tuple[Tensor, Tensor]:
    """Images of which every fourth is classified correctly by the weak classifier alone: by what breaks it."""
    pixels, labels = images(count)
    (weights,) = [weight[1].view(SIDE, SIDE) for weight in weak().parameters() if weight.dim() == 2]
    difference = torch.ones(SIDE, SIDE)
    difference[:, :3] = -1
    pattern = weights.sign() - (1.5 + (weights.sign() * difference).mean()) * difference
    pixels[::4, 0] = 0.5 + 0.1 * (2 * labels[::4, None, None] - 1) * pattern
    return pixels.clamp(0, 1), labels


def arguments(**more: Any) -> dict[str, Any]:
    """Arguments of `granu.harden` for the weak classifier against the strong one; `more` adds to them."""
    given: dict[str, Any] = {"classifier": weak(), "data": images(), "reference": strong(), "perturb": CHANGE}
    settings = {**SETTINGS, **more.pop("settings", {})}
    training = {**TRAINING, **more.pop("training", {})}
    return {"out": "h", "judges": [], **given, **more, "settings": settings, "training": training}


def harden(progress: Progress | None = None, fresh: bool = False, **more: Any) -> HardenResult:
    """Harden as `granu.harden` does, without the page and figure, which take most of the time."""
    plan, context = plan_hardening(**arguments(**more))
    return run_hardening(plan, context, SilentListener(progress), "a test", fresh)
