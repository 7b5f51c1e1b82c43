"""The deterministic steps of DDIM (Song et al. 2021, equation 12 with sigma 0), forwards and backwards."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Steps:
    """The noise levels of a sampler; `timesteps` lead from noise to image, `stride` apart."""

    levels: Tensor  # (T,) the share of signal in the variance at each training timestep
    timesteps: tuple[int, ...]
    stride: int
    predicts_velocity: bool = False

    def __len__(self) -> int:
        return len(self.timesteps)

    def towards_image(self, x: Tensor, output: Tensor, t: int) -> Tensor:
        """From the level of `t` one step towards the image, given the network's output at (x, t)."""
        return self._move(x, output, self._level(t), self._level(t - self.stride))

    def towards_noise(self, x: Tensor, output: Tensor, t: int) -> Tensor:
        """From the level one step before `t` to that of `t`, given the network's output at (x, t)."""
        return self._move(x, output, self._level(t - self.stride), self._level(t))

    def _level(self, t: int) -> Tensor:
        return self.levels[max(t, 0)]  # behind the last step that of timestep 0, as Stable Diffusion was trained

    def _move(self, x: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        noise = start.sqrt() * output + (1 - start).sqrt() * x if self.predicts_velocity else output
        image = (x - (1 - start).sqrt() * noise) / start.sqrt()
        return end.sqrt() * image + (1 - end).sqrt() * noise
