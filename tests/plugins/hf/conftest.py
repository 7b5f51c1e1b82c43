"""Fixture for transformers, skipped if it is not installed."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch

LIBRARIES: list[torch.library.Library] = []  # an operator lives as long as its library


@pytest.fixture(scope="session")
def transformers() -> ModuleType:
    """transformers imports torchvision if it finds one; one built for another torch misses two operators then."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        pass
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        LIBRARIES.append(library)
    return pytest.importorskip("transformers")
