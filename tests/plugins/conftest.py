"""Fixture for timm, skipped if it is not installed."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch

LIBRARIES: list[torch.library.Library] = []  # an operator lives as long as its library


@pytest.fixture(scope="session")
def timm() -> ModuleType:
    """timm imports torchvision, and one that was built for another torch misses two operators when it imports."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        pytest.skip("torchvision is not installed")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        LIBRARIES.append(library)
    pytest.importorskip("timm.data")
    return importlib.import_module("timm")
