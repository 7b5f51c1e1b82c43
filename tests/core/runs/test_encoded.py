"""Images that a generator encodes: what is measured, what is left out, and what is kept for the next run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from encoders import ENCODERS

from granu.runs.run import Run
from granu.runs.trials import FOUND

RunOf = Callable[..., Run]
MODEL = {"classifiers": ("tiny-classifier:linear",), "judges": (), "data": "shapes", "count": 8}


@pytest.fixture(autouse=True)
def world(tiny_place: Path, fake_plugin: Callable[..., Path]) -> None:
    """Install the tiny world and the encoders."""
    fake_plugin("encoders", ENCODERS)


def calls() -> list[int]:
    """The numbers of images that were encoded together, in this process."""
    return sys.modules["fake_encoders"].CALLS  # type: ignore[attr-defined]


def test_an_encoded_image_is_measured(run_of: RunOf) -> None:
    run = run_of("auto:z,steps=20", **MODEL)
    assert sum(trial.outcome == FOUND for trial in run.trials) == 7
