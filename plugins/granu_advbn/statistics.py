"""Changes of the mean and standard deviation of features, per channel.

Features are (B, C, H, W), tokens (B, T, C) or vectors (B, C). A change is a row of 2 C numbers: by how much the
multipliers of the C means differ from one, then the same of the C deviations. Zero changes nothing, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from granu import mean_over_processes
from granu_advbn import PerturbationOptions

SMALLEST = 1e-12  # variance; the gradient of a root is infinite at zero


@dataclass(frozen=True)
class Moments:
    """Statistics of each channel over a group of images and their positions, (G, C)."""

    mean: Tensor
    unit: Tensor  # in which the mean is moved: the mean itself, or the standard deviation
    group: int  # images in a group; the last may have fewer


@dataclass(frozen=True)
class Multipliers:
    """Multipliers of the statistics of features whose channels are at `axis`, and their bounds."""

    axis: int
    epsilon: float
    sigmas: bool  # the mean is moved by standard deviations, not multiplied
    min_scale: float | None
    relu: bool

    @classmethod
    def read(cls, options: PerturbationOptions, axis: int, nonnegative: bool) -> Multipliers:
        """The multipliers that options describe; `nonnegative` features stay so unless the options say otherwise."""
        relu = nonnegative if options.relu == "auto" else options.relu == "yes"
        return cls(axis, options.epsilon, options.mean == "sigma", options.min_scale, relu)

    def moments(self, features: Tensor, group: int, shared: bool = False) -> Moments:
        """Statistics, in float32, of every `group` images (B, ...); if `shared`, of one group in all processes."""

        def mean_of(values: Tensor) -> Tensor:
            each = values.mean(dim=places) if places else values  # (B, C)
            means = each if group == 1 else torch.stack([part.mean(dim=0) for part in each.split(group)])
            return mean_over_processes(means) if shared else means

        places = [dim for dim in range(1, features.ndim) if dim != self.axis]
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            mean = mean_of(features)
            if not self.sigmas:
                return Moments(mean, mean, group)
            variance = mean_of((features - self._spread(mean, group, features)).square())
            return Moments(mean, (variance + SMALLEST).sqrt(), group)

    def bounded(self, change: Tensor, budget: Tensor | float) -> Tensor:
        """The nearest change (G, 2 C) of at most `budget`, a number or (G, 1), that keeps all bounds."""
        limit = torch.as_tensor(budget, dtype=change.dtype, device=change.device).clamp_max(self.epsilon)
        mean, deviation = change.clamp(-limit, limit).chunk(2, dim=1)
        if self.min_scale is not None:
            deviation = deviation.clamp_min(self.min_scale - 1)
        return torch.cat([mean, deviation], dim=1)

    def apply(self, features: Tensor, moments: Moments, change: Tensor) -> Tensor:
        """The changed features, differentiable in `change` (G, 2 C), one row for each group of the moments.

        Computed in float32 as f + (f - mean) s + unit m, where m and s are the parts of the mean and of the deviation
        (Shu et al. 2021, section 3, where the unit is the mean).
        """
        with torch.autocast(features.device.type, enabled=False):
            m, s = self.bounded(change, self.epsilon).chunk(2, dim=1)  # (G, C)
            scale, shift = 1 + s, moments.unit * m - moments.mean * s
            scale, shift = (self._spread(value, moments.group, features) for value in (scale, shift))
            changed = torch.addcmul(shift, features.float(), scale)
            return (changed.relu_() if self.relu else changed).to(features.dtype)

    def _spread(self, value: Tensor, group: int, features: Tensor) -> Tensor:
        """Numbers of groups and channels (G, C) in a shape that broadcasts over features (B, ...)."""
        rows = value if len(value) == 1 else value.repeat_interleave(group, dim=0)[: len(features)]
        shape = [1] * features.ndim
        shape[0], shape[self.axis] = rows.shape
        return rows.view(shape)
