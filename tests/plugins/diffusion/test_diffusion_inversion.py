"""The sampler and its inversion for normal data, whose best denoiser is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from granu_diffusion.inversion import invert
from granu_diffusion.sampler import Sampler, find_factors

T = 1000
LEVELS = torch.cos(torch.linspace(0.01, 1.56, T, dtype=torch.float64)).square()


@dataclass
class NormalDenoiser:
    """The exact prediction for pixels that are normal with mean 0 and this deviation."""

    deviation: float
    kind: str

    def __call__(self, x: Tensor, t: int, labels: Tensor) -> Tensor:
        a, s = LEVELS[t].sqrt(), (1 - LEVELS[t]).sqrt()
        image = a * self.deviation**2 / (a**2 * self.deviation**2 + s**2) * x
        noise = (x - a * image) / s
        return {"sample": image, "epsilon": noise, "v_prediction": a * noise - s * image}[self.kind].float()


def sampler(kind: str, steps: int, deviation: float = 0.6) -> Sampler:
    timesteps = [i * (T // steps) for i in reversed(range(steps))]
    factors = find_factors(timesteps, T, LEVELS, 1.0, kind)
    return Sampler(NormalDenoiser(deviation, kind), factors, None)  # type: ignore[arg-type]


def sample(chosen: Sampler, x: Tensor) -> Tensor:
    for i in range(len(chosen.factors)):
        x = chosen.step(i, x, torch.zeros(len(x)))
    return x


def encode(chosen: Sampler, x: Tensor, iterations: int) -> Tensor:
    for i in reversed(range(len(chosen.factors))):
        x, _ = invert(lambda x, index, i=i: chosen.step(i, x, index), x, chosen.factors[i].slope, iterations, 1e-6)
    return x


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_many_steps_turn_noise_into_normal_data(kind: str) -> None:
    noise = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(sample(sampler(kind, 500), noise), 0.6 * noise, atol=0.02)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("deviation", [0.2, 1.0, 2.0])
def test_iterations_invert_a_sampler_of_few_steps(kind: str, deviation: float) -> None:
    chosen = sampler(kind, 10, deviation)
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * deviation
    plain, iterated = (sample(chosen, encode(chosen, images, number)) - images for number in (1, 30))
    assert iterated.abs().max() < 1e-4
    assert plain.abs().max() > 10 * iterated.abs().max() or deviation == 1.0  # there one iteration is exact


def test_each_image_stops_at_its_own_iteration_and_keeps_its_best() -> None:
    slopes = torch.tensor([1.0, 0.5, 3.0])  # exact at once; slowly; further away each time
    seen = []

    def function(x: Tensor, index: Tensor) -> Tensor:
        seen.append(index.tolist())
        return slopes[index][:, None] * x

    target = torch.ones(3, 2)
    x, rest = invert(function, target, 1.0, 6, 0.01)
    assert seen[0] == [0, 1, 2] and 0 not in seen[1]
    assert torch.equal(x[0], target[0]) and (x[1] - 2).abs().max() < 0.05
    assert torch.equal(x[2], target[2]), "a diverging iteration keeps the first guess"
    assert torch.allclose(slopes[:, None] * x + rest, target)


def test_numbers_that_are_not_finite_end_an_image_and_no_other() -> None:
    def function(x: Tensor, index: Tensor) -> Tensor:
        return torch.where((index == 1)[:, None], torch.nan, 0.5 * x)

    x, rest = invert(function, torch.ones(2, 2), 1.0, 30, 1e-4)
    assert (x[0] - 2).abs().max() < 1e-3 and torch.equal(x[1], torch.ones(2)) and rest.isfinite().all()
