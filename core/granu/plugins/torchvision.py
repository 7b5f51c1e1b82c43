"""Imports beside a torchvision that was built for another torch, which raises when it is imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NAME = "torchvision"


@contextmanager
def without_broken_torchvision() -> Iterator[None]:
    """Make a torchvision that does not import look absent, for packages that use it only where it is installed.

    transformers and diffusers are such packages: they work without torchvision, and fail beside a broken one. One that
    does import is left alone.
    """
    if _imports():
        yield
        return
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == NAME}
    for name in before:
        del sys.modules[name]
    sys.modules[NAME] = None  # type: ignore[assignment]  # Python's own mark of a module that is not there
    try:
        yield
    finally:
        del sys.modules[NAME]
        sys.modules.update(before)


def _imports() -> bool:
    try:
        importlib.import_module(NAME)
    except ModuleNotFoundError:
        return True  # absent: there is nothing to hide
    except Exception:  # whatever a package raises that does not fit torch
        return False
    return True
