"""Normalisation layers that exist twice, for inputs of two distributions (Xie et al. 2020, AdvProp)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from granu.training.defense import MAIN as MAIN_ROUTE

AUX_ROUTE = "aux"  # the route of the copies


class DualNorm(nn.Module):
    """A normalisation layer and a copy of it, with affine parameters and running statistics of its own.

    `route` says which of the two is applied. Other attributes are those of that layer, for networks that read them.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.main = norm
        self.aux = copy.deepcopy(norm)
        self.route = MAIN_ROUTE
        self.training = norm.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, self.route)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or "_modules" not in vars(self):
                raise
            return getattr(self._modules[self.route], name)


def is_norm(module: nn.Module) -> bool:
    """True if a module is a normalisation layer with parameters of its own, of torch or of another library."""
    own = any(parameter is not None for parameter in module._parameters.values())
    known = isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm)
    return (own and "norm" in type(module).__name__.lower()) or (known and bool(module.state_dict()))


def duplicate_norms(network: nn.Module, norms: Iterable[nn.Module]) -> None:
    """Put a `DualNorm` in the place of each of these layers, in place."""
    duals = {norm: DualNorm(norm) for norm in norms}
    for parent in list(network.modules()):
        if isinstance(parent, DualNorm):
            continue
        for name, child in parent._modules.items():
            if child in duals:
                parent._modules[name] = duals[child]


@contextmanager
def routed(network: nn.Module, route: str) -> Iterator[None]:
    """Apply the layers of this route; those of `main` again afterwards."""
    duals = [module for module in network.modules() if isinstance(module, DualNorm)]
    for dual in duals:
        dual.route = route
    try:
        yield
    finally:
        for dual in duals:
            dual.route = MAIN_ROUTE


def route_state(network: nn.Module, route: str) -> dict[str, Tensor]:
    """The state dict that the network would have if it had only the layers of this route."""
    named = network.named_modules(remove_duplicate=False)
    prefixes = tuple(f"{name}." for name, module in named if isinstance(module, DualNorm))
    state = {}
    for key, tensor in network.state_dict().items():
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), None)
        if prefix is None:
            state[key] = tensor
            continue
        owner, _, own = key.removeprefix(prefix).partition(".")
        if owner == route:
            state[prefix + own] = tensor
    return state
