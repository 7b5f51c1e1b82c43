"""`granu train --defense gat:...`: logs, routes, interruption and mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from granu import Defense

Build = Callable[[str], Defense]
SHORT = "budget=0.3,samples=20"


TRAIN = (
    "train", "--classifier", "gat-net", "--data", "styled", "--images", "64", "--batch", "16", "--epochs", "2",
    "--device", "cpu", "--hold-out", "0.25",
)  # fmt: skip


def test_a_training_logs_what_the_judge_saw_and_writes_both_routes(
    place: Path, granu: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    spec = f"gat:styled,{SHORT},judge=tiny-classifier,normalisation=own"
    answer = granu(*TRAIN, "--defense", spec, "--out", str(out))
    assert answer.returncode == 0, answer.stderr
    records = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert records[0]["notes"] == {} and all(0 <= one["notes"]["class changed"] <= 1 for one in records[1:])
    assert "class changed" in answer.stderr and "robust accuracy" in answer.stdout
    words = [word for route in ("main", "aux") for word in ("--classifier", f"file:{out},route={route}")]
    words += ["--perturb", "tiny:z,samples=20", "--count", "3", "--keep", "0", "--out", str(tmp_path / "run")]
    evaluated = granu("eval", *words)
    assert evaluated.returncode == 0, evaluated.stderr
    silent = granu(*TRAIN, "--defense", f"gat:styled,{SHORT}", "--out", str(tmp_path / "silent.safetensors"))
    assert "no judge checks that changed images still show their class" in silent.stderr


def test_interrupted_and_repeated_ends_with_the_same_bytes(
    place: Path, granu: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from granu.training.loop import Loop

    spec = f"gat:styled,{SHORT},judge=tiny-classifier,images=encoded,start=random"
    words = (*TRAIN, "--defense", spec, "--checkpoint-seconds", "0")
    broken, whole = tmp_path / "broken.safetensors", tmp_path / "whole.safetensors"
    train_step = Loop._train_step
    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_train_step", lambda loop, *given: train_step(loop, *given) or loop.step == 2)
        granu(*words, "--out", str(broken))
    assert not broken.exists() and broken.with_suffix(".safetensors.checkpoint").exists()
    for out in (broken, whole):
        assert granu(*words, "--out", str(out)).returncode == 0
    from granu.weights.checkpoints import read_tensors

    one, other = read_tensors(broken), read_tensors(whole)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    logs = [[json.loads(line)["notes"] for line in out.with_suffix(".jsonl").read_text().splitlines()]
            for out in (broken, whole)]  # fmt: skip
    assert logs[0] == logs[1] and set(logs[0][1]) == {"class changed", "encoded", "psnr", "right on reconstructions"}


@pytest.mark.parametrize(
    ("defense", "message"),
    [
        ("gat:tiny,budget=1,images=encoded", "`tiny` does not encode images"),
        ("gat:styled:style9", "there is no site named 'style9'"),
        ("gat:styled,side=12", "takes 8 x 8, 1 channels"),
        ("gat:styled,noise=no", "the site 'noise0' is the same in all images"),
    ],
)
def test_a_command_with_a_mistake_ends_with_one_sentence(
    place: Path, granu: Callable[..., Any], defense: str, message: str, tmp_path: Path
) -> None:
    answer = granu(*TRAIN, "--defense", f"{defense},samples=20", "--out", str(tmp_path / "out.safetensors"))
    assert answer.returncode == 2 and message in answer.stderr
    assert len([line for line in answer.stderr.strip().splitlines() if line.startswith("granu: ")]) == 1
