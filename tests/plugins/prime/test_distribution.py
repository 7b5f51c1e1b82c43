"""Drawn images have the distribution of the published mathematics, with parameters of their own for each image."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from granu import Streams
from granu_prime.colour import Colour
from granu_prime.mixing import Mixture, Primitive
from granu_prime.spatial import Spatial
from granu_prime.spectral import Spectral

SCRIPT = Path(__file__).parents[3] / "examples" / "prime_speed.py"
DRAWS = 2000


@cache
def published() -> ModuleType:
    """The mathematics as the benchmark writes it out; called for one image it draws parameters for this image."""
    spec = importlib.util.spec_from_file_location("prime_speed", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def image(side: int = 12) -> Tensor:
    """A smooth image (1, 3, side, side)."""
    place = torch.linspace(0, 1, side)
    return torch.stack([0.2 + 0.6 * place.expand(side, side), place.square()[:, None].expand(side, side),
                        0.5 + 0.4 * torch.sin(6 * place[:, None] + 3 * place)])[None]  # fmt: skip


CASES: dict[str, tuple[Primitive, Callable[[Tensor], Tensor]]] = {
    "spectral": (Spectral(), lambda x: published().published_spectral(x)),
    "colour": (Colour(), lambda x: published().published_colour(x)),
    "band": (Colour(500, 0.05, 20), lambda x: published().published_colour(x, 500, 0.05, 20)),
    "spatial": (Spatial(30), lambda x: published().published_spatial(x, 30)),
    "mixture": (Mixture((Spectral(), Colour(), Spatial())), lambda x: published().published_prime(x)),
}


@pytest.mark.parametrize("name", CASES)
def test_moments_are_those_of_the_published_mathematics(name: str) -> None:
    ours, theirs = CASES[name]
    x, draws = image(), DRAWS if name != "mixture" else 500
    torch.manual_seed(0)
    y = torch.cat([theirs(x) for _ in range(draws)]) - x
    z = ours(x.expand(draws, -1, -1, -1), Streams(0, [str(i) for i in range(draws)])) - x
    for moment in (lambda d: d, lambda d: d.square(), lambda d: d.square().mean(dim=(1, 2, 3), keepdim=True).square()):
        one, other = moment(y), moment(z)
        deviation = (one.var(dim=0) + other.var(dim=0)).div(draws).sqrt().clamp_min(1e-4)  # float32 errors are smaller
        distance = (one.mean(dim=0) - other.mean(dim=0)).abs() / deviation
        # standard errors: the root mean square over pixels is about 1 for equal distributions
        assert distance.square().mean().sqrt() < 2.0
        assert distance.max() < 5.5
