"""README's example with one's own network and folder of images, run as it is written there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from granu.images.ops import encode_png
from granu.runs.run import read_run

README = Path(__file__).parents[2] / "README.md"
NETWORK = """
import torch
from torch import nn

def build():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    with torch.no_grad():  # the mean of blue, of green, of red: the alphabet's order
        network[2].weight.copy_(torch.eye(3).flip(0).repeat_interleave(4, dim=1))
        network[2].bias.zero_()
    return network
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of README's reader: mymodel.py, and val with a folder per class."""
    monkeypatch.chdir(tmp_path)
    Path("mymodel.py").write_text(NETWORK)
    noise = torch.Generator().manual_seed(0)
    for channel, colour in enumerate(("red", "green", "blue")):
        (Path("val") / colour).mkdir(parents=True)
        for number in range(2):
            image = 0.3 + 0.2 * torch.rand(3, 12, 12, generator=noise)
            image[channel] += 0.2
            (Path("val") / colour / f"{number}.png").write_bytes(encode_png(image))
    return tmp_path


def command() -> list[str]:
    (block,) = re.findall(r"```\n(granu eval --classifier python:mymodel[^`]*)```", README.read_text())
    return shlex.split(block.replace("\\\n", " "))[1:]


def test_readmes_example_with_ones_own_network_and_folder(own: Path, granu: Callable[..., Any]) -> None:
    result = granu(*command())
    assert result.returncode == 0, result.stderr
    run = read_run(own / "runs" / "own")
    changes = dict.fromkeys(trial.perturbation for trial in run.trials)
    assert list(changes) == ["pixel:l2", "sparse-pixel", *(f"frequency:{k}" for k in range(13))]
    assert {trial.image for trial in run.trials} == {f"{c}/{n}.png" for c in ("red", "green", "blue") for n in range(2)}
    assert all(trial.counts for trial in run.trials), "outputs without names are those of the folders, in order"
    assert all(trial.outcome == "found" for trial in run.trials if trial.perturbation in ("pixel:l2", "sparse-pixel"))
    (classifier,) = run.record.classifiers.values()
    assert classifier.classes == ("blue", "green", "red") == run.record.perturbations["pixel:l2"].source.classes


def test_another_number_of_outputs_than_of_folders_is_refused_with_the_cure(
    own: Path, granu: Callable[..., Any]
) -> None:
    (own / "val" / "teal").mkdir()
    result = granu(
        "eval", "-c", "python:mymodel.py:build", "--data", "folder:val", "-p", "pixel:l2", "--out", "runs/no"
    )
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "4: blue, green, red, ..." in result.stderr and "name its outputs with classes=" in result.stderr
