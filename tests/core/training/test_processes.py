"""Training by several processes that share each batch, against one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trainings import weights

from granu.errors import OptionError
from granu.training.opening import check_sizes
from granu.training.settings import TrainingSettings

# batch normalisation, clipping, a moving average, per-image noise before and after it, validation
GIVEN = {
    "classifier": "net", "data": "shapes:130", "batch": "16", "epochs": "2", "clip": "0.5", "ema": "0.5", "lr": "0.05",
    "augment": "shift-flip", "hold-out": "0.25", "optimizer": "sgd", "device": "cpu",
}  # fmt: skip


def test_two_processes_train_like_one_up_to_rounding(small: Path, trained: Callable[..., Any]) -> None:
    words = [word for name, value in GIVEN.items() for word in (f"--{name}", value)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(small), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "granu"]
    command += ["train", *words, "--defense", "made-up:noisy", "--out", "two.safetensors"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("two.safetensors: epoch") == 1 and answer.stderr.count("epoch 2/2") == 1

    given = {name.replace("-", "_"): value for name, value in GIVEN.items()}
    trained(**given, defense=["made-up:noisy"], out="one.safetensors")
    one, two = weights("one.safetensors"), weights("two.safetensors")
    for name, tensor in one.items():
        assert (tensor - two[name]).abs().max() <= 2e-6, name
    records = [[json.loads(line) for line in Path(f"{file}.jsonl").read_text().splitlines()] for file in ("one", "two")]
    for alone, together in zip(*records, strict=True):
        assert (alone["clean"], alone["robust"]) == (together["clean"], together["robust"])
        assert alone["loss"] is None or alone["loss"] == pytest.approx(together["loss"], abs=1e-6)


def test_a_batch_that_cannot_be_shared_equally_is_refused() -> None:
    with pytest.raises(OptionError, match="--batch 128 cannot be divided equally among 3 processes"):
        check_sizes(TrainingSettings(), 1000, 3)
    check_sizes(TrainingSettings(), 1000, 4)
