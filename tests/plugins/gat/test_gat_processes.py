"""Two processes with half a batch each leave out the same images, and get the gradient of the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gat_world import small_network
from torch import Tensor
from training_steps import make_step

from granu import BuildContext, TrainingStep, load_catalog

JUDGED = "gat:styled,budget=0.5,samples=20,judge=tiny-classifier:linear,warmup=0,steps=6,freeze=no"
SPECS = ("gat:styled,budget=0.3,samples=20", JUDGED, f"{JUDGED},changed=relabel,images=encoded")
ORDER = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]  # the halves are of different classes
PROGRAM = """
import sys
import torch
from torch import distributed
from test_gat_processes import SPECS, gradients

meeting, rank, out = sys.argv[1:]
distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=int(rank), world_size=2)
own = [gradients(spec, slice(6 * int(rank), 6 * int(rank) + 6)) for spec in SPECS]
for _, *tensors in own:
    for tensor in tensors:
        distributed.all_reduce(tensor)
if rank == "0":
    torch.save([(loss / 2, gradient / 2) for _, loss, gradient in own], out)
distributed.destroy_process_group()
"""


def gradients(spec: str, part: slice) -> tuple[float, Tensor, Tensor]:
    """The share of images that changed class, loss and gradients of some images of a step, in evaluation mode."""
    defense = BuildContext(load_catalog()).build("defense", spec)
    classifier = small_network()
    whole = make_step(classifier, count=12)
    index = torch.tensor(ORDER[part])
    step = TrainingStep(
        classifier, whole.images[index], whole.labels[index], whole.streams.select(index), 7, progress=0.9
    )
    loss = defense.loss(step)
    gradient = torch.cat([one.flatten() for one in torch.autograd.grad(loss, list(classifier.parameters()))])
    return step.noted.get("class changed", [0.0])[0], loss.detach(), gradient


def test_two_processes_are_one(place: Path, tmp_path: Path) -> None:
    here = Path(__file__).parent
    known = [str(place), str(here.parent), os.environ["PYTHONPATH"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(known)}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "meeting")]
    processes = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "out")], cwd=here, env=environment) for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for spec, (loss, gradient) in zip(SPECS, torch.load(tmp_path / "out", weights_only=True), strict=True):
        _, expected, whole = gradients(spec, slice(0, 12))
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(gradient, whole, rtol=1e-3, atol=1e-5)


def test_the_halves_leave_out_different_numbers_of_images(place: Path) -> None:
    """So that the mean of the halves' own means would be another one."""
    shares = [gradients(JUDGED, part)[0] for part in (slice(0, 6), slice(6, 12))]
    assert shares[0] != shares[1] and 0 < sum(shares) < 2
    assert pytest.approx(sum(shares) / 2) == gradients(JUDGED, slice(0, 12))[0]
