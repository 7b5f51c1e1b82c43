"""Choice of the device that a run computes on."""

from __future__ import annotations

from granu.errors import OptionError


def choose_device(name: str) -> str:
    """`auto` takes the first GPU if there is one. OptionError for a device that is not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as problem:
        reason = str(problem).splitlines()[0]
        raise OptionError(f"--device {name} cannot be used ({reason}); take --device cpu or auto") from None
    return name
