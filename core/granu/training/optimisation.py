"""The optimiser of a training: SGD with momentum or AdamW, at the rate of the schedule."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from granu.training.schedule import momentum_at, rate_factor
from granu.training.settings import TrainingSettings


class Optimisation:
    """An optimiser of the parameters that are not frozen, whose rate and momentum are functions of the step."""

    def __init__(self, parameters: Iterable[nn.Parameter], settings: TrainingSettings, steps: int) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.settings, self.steps = settings, steps
        self.optimiser = _make(self.parameters, settings)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self.settings.rate * rate_factor(self.settings, step, self.steps)

    def step(self, number: int) -> None:
        """Update the parameters by their gradients, as step `number`, and drop the gradients."""
        momentum = momentum_at(self.settings, number, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(number)
            if "momentum" in group:
                group["momentum"] = momentum
            else:
                group["betas"] = (momentum, group["betas"][1])
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def _make(parameters: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        nesterov = settings.nesterov and settings.momentum > 0
        return torch.optim.SGD(
            parameters, settings.rate, settings.momentum, weight_decay=settings.decay, nesterov=nesterov
        )
    betas = (settings.momentum, 0.999)
    return torch.optim.AdamW(parameters, settings.rate, betas, weight_decay=settings.decay)
