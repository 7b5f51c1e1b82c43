"""Every file format loads with `weights=`, lists its sites, converts, and runs through `eval`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nvidia_files import Golden, network_pickle

from granu.runs.run import read_run

sys.path.append(str(Path(__file__).parents[1] / "biggan"))
from biggan_golden import Golden as BigGANGolden

# predicts class 0 nearly always, but depends on the image enough to be attacked
CLASSIFIER = """
import granu, torch

class Stubborn:
    classes = tuple("0123456")
    layers = dict
    def __call__(self, images):
        x = torch.nn.functional.interpolate(images.mean(1, keepdim=True), size=8) - 0.5
        weight = torch.randn(7, 64, generator=torch.Generator().manual_seed(0))
        return 0.1 * x.flatten(1) @ weight.T.to(x) + torch.eye(7)[0].to(x)

@granu.hookimpl
def granu_classifiers():
    return [granu.ClassifierOffer(name="stubborn", summary="nearly always predicts 0", make=lambda o, w: Stubborn())]
"""
SETTINGS = "samples=3,steps=10"
Granu = Callable[..., Any]


def write(kind: str, folder: Path) -> str:
    """Write a file of that format, and return the spec of a site in it."""
    file = folder / kind.replace(" ", "-")
    match kind.split():
        case ["hugging", "face"]:
            golden = BigGANGolden("huggingface")
            file.mkdir()
            (file / "config.json").write_text(json.dumps(golden.config))
            torch.save(golden.state, file / "pytorch_model.bin")
            return f"biggan:layer5,classes=0,weights={file}"
        case ["pth", which]:
            torch.save(BigGANGolden(f"bigganpytorch-{which}").state, file)
            return f"biggan:layer3,classes=0,weights={file}"
        case _:
            golden_network = Golden(kind)
            if golden_network.arguments["c_dim"]:  # all drawn images shall be of class 0
                golden_network.arguments["c_dim"] = 1
                embedding = golden_network.state["mapping.embed.weight"]
                golden_network.state["mapping.embed.weight"] = embedding[:, :1].contiguous()
            file.write_bytes(network_pickle(golden_network))
            return f"stylegan:layer4,weights={file}"


@pytest.fixture(params=["hugging face", "pth wide", "pth deep", "stylegan2", "stylegan3-t", "stylegan3-r"])
def spec(request: pytest.FixtureRequest, tmp_path: Path, fake_plugin: Callable[..., Path]) -> str:
    fake_plugin("stubborn", CLASSIFIER)
    return write(request.param, tmp_path)


def evaluate(granu: Granu, spec: str, out: Path) -> list[Any]:
    run = granu("eval", "-p", f"{spec},{SETTINGS}", "-c", "stubborn", "--judge", "none", "-n", "2", "-o", str(out))
    assert run.returncode == 0, run.stderr
    return read_run(out).trials


def test_a_file_and_its_conversion_run_through_eval(granu: Granu, spec: str, tmp_path: Path) -> None:
    name, path = spec.split(":")[0], spec.split("weights=")[1]
    info = granu("info", f"{name}:weights={path}")
    assert info.returncode == 0 and "the image's pixels" in info.stdout
    trials = evaluate(granu, spec, tmp_path / "run")
    assert len(trials) == 2 and all(trial.size is not None for trial in trials)

    own = tmp_path / "own.safetensors"
    converted = granu("convert", path, str(own))
    assert converted.returncode == 0, converted.stderr
    assert len(evaluate(granu, spec.replace(path, str(own)), tmp_path / "again")) == 2
