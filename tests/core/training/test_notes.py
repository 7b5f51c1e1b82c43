"""Numbers that defenses note in their steps, and sentences that they want read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from trainings import Notes

from granu.weights.trained import read_trained

Trained = Callable[..., Any]
STEPS = {"data": "shapes:64", "batch": "8", "epochs": "2", "hold_out": "0.25"}  # six steps in an epoch


def notes_of(file: str) -> list[dict[str, float]]:
    return [json.loads(line)["notes"] for line in Path(file).read_text().splitlines()]


def test_an_epochs_record_holds_the_mean_over_its_steps(trained: Trained) -> None:
    heard = Notes()
    result = trained(defense=["made-up:noting", "made-up:noting"], notes=heard, **STEPS)
    assert notes_of("out.jsonl") == [{}, {"number": 2.5}, {"number": 8.5}]
    assert heard.lines.count("look at the numbers") == 1
    assert "number 2.5" in next(line for line in heard.lines if line.startswith("epoch 1/2"))
    assert read_trained(result.file).about["after"]["notes"]["number"] in (2.5, 8.5)


def test_notes_of_an_epoch_survive_an_interruption(trained: Trained) -> None:
    given = {**STEPS, "defense": ["made-up:noting", "made-up:interrupt,at=3"], "checkpoint_seconds": "0"}
    try:
        trained(**given)
    except KeyboardInterrupt:
        assert torch.load("out.safetensors.checkpoint", weights_only=True)["notes"] == {"number": [0, 1, 2, 3]}
        trained(**given)
    assert Path("interrupted").exists() and notes_of("out.jsonl")[1:] == [{"number": 2.5}, {"number": 8.5}]
