"""The example that looks for masked gradients names them where a classifier masks its own, and not elsewhere."""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from granu.testing import tiny


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "gradient_masking", Path(__file__).parents[3] / "examples" / "gradient_masking.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Masked(nn.Module):
    """A network that rounds its logits, so that its gradient is zero nearly everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.network = tiny.tiny_linear_classifier().network

    def forward(self, images: Tensor) -> Tensor:
        return torch.round(100 * self.network(images)) / 100


def signs(network: nn.Module, capsys: pytest.CaptureFixture[str]) -> list[int]:
    """The numbers of images in the lines below the table."""
    module = script()
    batch = tiny.tiny_batch(6)
    labels = tiny.tiny_linear_classifier()(batch.images).argmax(1)
    arguments = argparse.Namespace(classifier=network, data=(batch.images, labels), count=6)
    module.report(module.measure(arguments, "pixel:linf", module.attacks(0.5, "standard")))
    return [int(number) for number in re.findall(r": (\d+) images", capsys.readouterr().out)]


def test_a_masked_gradient_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    blind, fewer, missed, held, stuck = signs(Masked(), capsys)
    assert blind >= 4 and missed >= 4 and held == stuck == 6 and fewer == 0


def test_an_honest_classifier_shows_no_sign(capsys: pytest.CaptureFixture[str]) -> None:
    assert signs(tiny.tiny_linear_classifier().network, capsys) == [0, 0, 0, 0, 0]
