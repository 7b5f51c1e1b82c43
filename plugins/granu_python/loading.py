"""Networks from `FILE.py:CALLABLE` or `MODULE:CALLABLE`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from granu import ClassifierError, suggest


def load_callable(source: str) -> nn.Module:
    """Import the file or module and call the named function; a torch.nn.Module of that name is used directly.

    ClassifierError if the import or the call fails, or if the result is not a torch.nn.Module.
    """
    place, _, name = source.rpartition(":")
    module = _import(place)
    if not hasattr(module, name):
        known = [n for n in vars(module) if not n.startswith("_")]
        raise ClassifierError(f"{place} has no '{name}'; {suggest(name, known)}")
    thing = getattr(module, name)
    if not isinstance(thing, nn.Module):
        if not callable(thing):
            raise ClassifierError(
                f"{place}:{name} is a {type(thing).__name__}; name a function that returns the network"
            )
        try:
            thing = thing()
        except Exception as problem:
            raise ClassifierError(f"{place}:{name}() failed with {type(problem).__name__}: {problem}") from problem
    if not isinstance(thing, nn.Module):
        raise ClassifierError(f"{place}:{name}() returned a {type(thing).__name__}, not a torch.nn.Module; return that")
    return thing


def _import(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        file = Path(place).expanduser().resolve()
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(file.parent))  # as `python FILE` does, so that it can import files beside it
        sys.modules.setdefault(file.stem, module)
        spec.loader.exec_module(module)
        return module
    except Exception as problem:
        raise ClassifierError(f"{place} cannot be imported: {type(problem).__name__}: {problem}") from problem
