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

BATCH = ("advbn:layer1,steps=3", "advbn:layer1,steps=3,mean=sigma,init=uniform,freeze=no")
SPECS = (*BATCH, "advbn:layer1,scope=group:3")
PROGRAM = """
import sys
import torch
from torch import distributed
from test_advbn_processes import SPECS, gradients

meeting, rank, out = sys.argv[1:]
distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=int(rank), world_size=2)
own = [gradients(spec, slice(6 * int(rank), 6 * int(rank) + 6)) for spec in SPECS]
for tensors in own:
    for tensor in tensors:
        distributed.all_reduce(tensor)
if rank == "0":
    torch.save([(loss / 2, gradient / 2) for loss, gradient in own], out)
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


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tensor, Tensor]]:
    """The results of two processes together, for each spec."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-c", PROGRAM, folder / "meeting"]
    here = Path(__file__).parent
    processes = [subprocess.Popen([*command, str(rank), folder / "out"], cwd=here) for rank in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    return dict(zip(SPECS, torch.load(folder / "out", weights_only=True), strict=True))


@pytest.mark.parametrize("spec", SPECS)
def test_two_processes_are_one(shared: dict[str, tuple[Tensor, Tensor]], spec: str) -> None:
    loss, gradient = gradients(spec, slice(0, 12))
    torch.testing.assert_close(shared[spec][0], loss)
    torch.testing.assert_close(shared[spec][1], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("spec", BATCH)
def test_two_halves_on_their_own_would_not_be(spec: str) -> None:
    loss, _ = gradients(spec, slice(0, 12))
    halves = [gradients(spec, part)[0] for part in (slice(0, 6), slice(6, 12))]
    assert abs(float(sum(halves) / 2 - loss)) > 0.01
