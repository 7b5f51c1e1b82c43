"""Building the network that a file describes, without trusting the file: its size is checked before it is allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from granu.errors import GranuError, WeightsError
from granu.weights.checkpoints import check_fit, load_strictly
from granu.wording import reason

# a network may register a parameter more than once while it is built, for instance a head that is replaced
SLACK = 4
SPARE_TENSORS, SPARE_NUMBERS = 100, 1_000_000


def build_strictly(build: Callable[[], nn.Module], state: Mapping[str, Tensor], file: Path) -> nn.Module:
    """Build a network and load its state dict, which was read from `file`. WeightsError where they do not fit.

    The network is built on torch's meta device first, where tensors have a shape and no memory, and compared with the
    state dict. One that cannot be built there, because it computes with tensors meanwhile, is only prevented from
    registering many more parameters than the file holds.
    """
    try:
        with _no_larger_than(state, file):
            shapes = shapes_of(build)
        if shapes is not None:
            check_fit(shapes, state, file)
        with _no_larger_than(state, file):
            network = build()
    except GranuError:
        raise
    except Exception as problem:  # numbers that no network can have raise anything
        raise WeightsError(f"{file} describes a network that cannot be built: {reason(problem)}") from problem
    load_strictly(network, state, file)
    return network


def shapes_of(build: Callable[[], nn.Module]) -> Mapping[str, Tensor] | None:
    """The tensors of a network without memory. None if it cannot be built that way."""
    try:
        with torch.device("meta"):
            return build().state_dict()
    except RuntimeError:  # an operation has no meta version (NotImplementedError), or reads a value, as .item() does
        return None


class _TooLarge(BaseException):
    """A network exceeds its state dict; no `except Exception` in the code that builds it may catch this."""


@contextmanager
def _no_larger_than(state: Mapping[str, Tensor], file: Path) -> Iterator[None]:
    tensors = SLACK * len(state) + SPARE_TENSORS
    numbers = SLACK * sum(tensor.numel() for tensor in state.values()) + SPARE_NUMBERS

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal tensors, numbers
        if parameter is not None and not nn.parameter.is_lazy(parameter):
            tensors, numbers = tensors - 1, numbers - parameter.numel()
        if tensors < 0 or numbers < 0:
            raise _TooLarge

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    except _TooLarge:
        raise WeightsError(f"{file} describes a network with more parameters than the file holds") from None
    finally:
        handle.remove()
