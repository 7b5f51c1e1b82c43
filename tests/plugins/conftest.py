"""Fixtures for timm and transformers, which skip tests where they are not installed."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch

LIBRARIES: list[torch.library.Library] = []  # an operator lives as long as its library


@pytest.fixture(scope="session")
def has_torchvision() -> bool:
    """True if torchvision is installed. One built for another torch gets the operators that its import misses."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return False
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        LIBRARIES.append(library)
    return True


@pytest.fixture(scope="session")
def timm(has_torchvision: bool) -> ModuleType:
    """The library timm, which imports torchvision."""
    if not has_torchvision:
        pytest.skip("torchvision is not installed")
    pytest.importorskip("timm.data")
    return importlib.import_module("timm")


@pytest.fixture(scope="session")
def transformers(has_torchvision: bool) -> ModuleType:
    """The library transformers, which imports torchvision if it finds one."""
    return pytest.importorskip("transformers")
