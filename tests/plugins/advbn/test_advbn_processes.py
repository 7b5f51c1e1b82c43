"""Two processes with half a batch each share statistics, change and loss, and get the gradient of the whole batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from advbn_networks import Plain, classifier_of, defense, make_step
from torch import Tensor

from granu import TrainingStep

PROGRAM = """
import sys
import torch
from torch import distributed
from test_advbn_processes import gradients

file, rank, out, *spec = sys.argv[1:]
distributed.init_process_group("gloo", init_method=f"file://{file}", rank=int(rank), world_size=2)
loss, own = gradients(",".join(spec), slice(6 * int(rank), 6 * int(rank) + 6))
for tensor in (loss, own):
    distributed.all_reduce(tensor)
if rank == "0":
    torch.save({"loss": loss / 2, "gradients": own / 2}, out)
distributed.destroy_process_group()
"""


def gradients(spec: str, part: slice) -> tuple[Tensor, Tensor]:
    """Loss and gradients of some images of a step, in evaluation mode, where batch normalisation shares nothing."""
    classifier = classifier_of(Plain())
    advbn = defense(spec)
    advbn.prepare(classifier)
    classifier.eval()
    step = make_step(classifier)
    streams = step.streams.select(range(12)[part])
    loss = advbn.loss(TrainingStep(classifier, step.images[part], step.labels[part], streams, 4, 0.0))
    left = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    return loss.detach(), torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, left)])


@pytest.mark.parametrize(
    "spec",
    ["advbn:layer1,steps=3", "advbn:layer1,steps=3,mean=sigma,init=uniform,freeze=no", "advbn:layer1,scope=group:3"],
)
def test_two_processes_are_one(spec: str, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, tmp_path / "meet", str(rank), tmp_path / "out", spec],
            cwd=Path(__file__).parent,
        )
        for rank in range(2)
    ]
    loss, whole = gradients(spec, slice(0, 12))
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    shared = torch.load(tmp_path / "out", weights_only=True)
    torch.testing.assert_close(shared["loss"], loss)
    torch.testing.assert_close(shared["gradients"], whole, rtol=1e-3, atol=1e-5)
    halves = [gradients(spec, part)[0] for part in (slice(0, 6), slice(6, 12))]
    if "group" not in spec:  # two batches of their own would each have had an adversary of their own
        assert abs(float(sum(halves) / 2 - loss)) > 0.01
