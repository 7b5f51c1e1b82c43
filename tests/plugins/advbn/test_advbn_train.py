"""`granu train --defense advbn:...` from images in a folder to a file whose routes are evaluated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from granu import BuildContext, load_catalog
from granu.images.ops import encode_png

NETWORK = "zoo:mnist-resnet,init=random,classes=bright+dark"


@pytest.fixture
def data(tmp_path: Path) -> str:
    """24 grey images of noise in two classes."""
    generator = torch.Generator().manual_seed(0)
    for name, least in (("bright", 0.4), ("dark", 0.0)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(12):
            image = least + 0.6 * torch.rand(1, 32, 32, generator=generator)
            (tmp_path / "data" / name / f"{number}.png").write_bytes(encode_png(image))
    return f"folder:{tmp_path / 'data'}"


def test_a_training_writes_both_routes(granu: Callable[..., Any], data: str, tmp_path: Path) -> None:
    file = tmp_path / "trained.safetensors"
    command = ["train", "--defense", "advbn:blocks.0", "--classifier", NETWORK, "--data", data, "--out", str(file)]
    answer = granu(*command, "--epochs", "2", "--batch", "8", "--hold-out", "0.25", "--device", "cpu")
    assert answer.returncode == 0, answer.stderr
    assert "robust accuracy on validation images" in answer.stdout
    context = BuildContext(load_catalog())
    main, aux, mean = (context.build("classifier", f"file:{file},route={route}") for route in ("main", "aux", "mean"))
    images = torch.rand(4, 1, 32, 32)
    assert torch.equal(context.build("classifier", f"file:{file}")(images), main(images))
    assert not torch.allclose(main(images), aux(images))
    torch.testing.assert_close(mean(images), (main(images) + aux(images)) / 2)
    for part in ("network.stem", "network.blocks.0"):  # frozen, and so the same in both
        states = (classifier.get_submodule(part).state_dict() for classifier in (main, aux))
        assert all(map(torch.equal, *(state.values() for state in states)))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("block.0", "there is no layer named 'block.0' in `zoo:mnist-resnet"),
        ("blocks.2", "no normalisation layer runs behind 'blocks.2'"),
    ],
)
def test_a_wrong_cut_is_one_sentence(
    granu: Callable[..., Any], data: str, tmp_path: Path, layer: str, message: str
) -> None:
    out = tmp_path / "trained.safetensors"
    command = ["train", "--defense", f"advbn:{layer}", "--classifier", NETWORK, "--data", data]
    answer = granu(*command, "--batch", "8", "--out", str(out), "--device", "cpu")
    assert answer.returncode == 2 and message in answer.stderr and len(answer.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_the_perturbation_is_evaluated_inside_the_classifier(
    granu: Callable[..., Any], data: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = ["eval", "--perturb", "advbn:blocks.0,search=pgd,budget=1.1,steps=2", "--classifier", NETWORK]
    answer = granu(*command, "--data", data, "--count", "6", "--out", str(run), "--device", "cpu")
    assert answer.returncode == 0, answer.stderr
    assert "no image" in answer.stdout
