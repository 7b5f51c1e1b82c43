"""`granu eval` edits one's own images at the sites of an autoencoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

NETWORK = """
import torch


class Redness(torch.nn.Module):
    def forward(self, images):
        red, blue = images[:, 0].mean((1, 2)), images[:, 2].mean((1, 2))
        return 9 * torch.stack([blue - red, red - blue], dim=1)


build = Redness
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images of 20 x 28 pixels, greys, two of them slightly blue and two slightly red."""
    for number in range(4):
        label = ("blue", "red")[number % 2]
        pixels = np.random.default_rng(number).integers(40, 200, (20, 28, 1)).repeat(3, axis=2)
        pixels[:, :, 0 if label == "red" else 2] += 4
        file = tmp_path / "val" / label / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(file)
    (tmp_path / "net.py").write_text(NETWORK)
    return tmp_path / "val"


def test_every_site_breaks_a_classifier_of_a_folder_of_images(
    granu: Callable[..., Any], taesd: Callable[..., Any], folder: Path
) -> None:
    weights = taesd()[2]
    for file in weights.iterdir():  # random weights, with which sites vary from image to image
        state = load_file(file)
        save_file({name: (0 if name.endswith("bias") else 2) * tensor for name, tensor in state.items()}, file)
    answer = granu(
        "eval", "--data", f"folder:{folder}", "--classifier", "python:net.py:build,classes=blue+red", "--count", "4",
        "--perturb", f"autoencoder:all,weights={weights},size=16x20,residual=yes,psnr=0,steps=20", "--out", "run",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    trials = [json.loads(line) for line in Path("run/trials.jsonl").read_text().splitlines()]
    found = {trial["perturbation"].partition(",")[0] for trial in trials if trial["outcome"] == "found"}
    assert found == {f"autoencoder:{site}" for site in ("latent", "stage0", "stage1", "stage2", "image")}
    assert all(trial["arms"]["prepared"] == trial["label"] for trial in trials)
    record = next(iter(json.loads(Path("run/run.json").read_text())["perturbations"].values()))
    assert record["generator"]["classes"] == [] and len(record["weights"]) == 2
    assert record["site_options"]["samples"] == 100, "the default of the offer"


def test_an_autoencoder_has_no_images_of_its_own(granu: Callable[..., Any], taesd: Callable[..., Any]) -> None:
    answer = granu("eval", "--perturb", f"autoencoder:latent,weights={taesd()[2]}", "--classifier", "zoo:mnist-cnn")
    assert answer.returncode == 2 and "--data" in answer.stderr and len(answer.stderr.splitlines()) == 1
    none = granu("eval", "--perturb", "autoencoder:latent", "--data", "folder:val")
    assert none.returncode == 2 and "ships no weights; name a folder or file with weights=" in none.stderr
