"""rosinality's checkpoints load and give the images of the original implementation."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from granu import WeightsError
from granu_stylegan.formats import open_weights
from granu_stylegan.stylegan2 import StyleGAN2

# random weights, and the image of rosinality/stylegan2-pytorch for them: stored noise, truncation 0.7
GOLDEN = load_file(Path(__file__).with_name("rosinality.safetensors"))
STATE = {name.removeprefix("g_ema."): tensor for name, tensor in GOLDEN.items() if name.startswith("g_ema.")}


def network(file: Path, content: dict[str, Any], zipped: bool = True) -> StyleGAN2:
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    opened = open_weights(file)
    made = StyleGAN2(**opened.config).requires_grad_(False)
    made.load_state_dict(opened.state(), strict=True)
    return made


@pytest.mark.parametrize("zipped", [True, False])
def test_images_equal_those_of_the_original(tmp_path: Path, zipped: bool) -> None:
    content = {"g_ema": STATE, "latent_avg": GOLDEN["latent_avg"]}
    image = network(tmp_path / "x.pt", content, zipped)(GOLDEN["in.z"], None, 0.7)
    golden = GOLDEN["out.image_truncation0.7"]
    assert (image - golden).abs().max() / (golden.max() - golden.min()) < 1e-4


def test_a_checkpoint_without_a_mean_style_gets_one(tmp_path: Path) -> None:
    content = {"g_ema": STATE, "g": STATE, "args": argparse.Namespace(size=32), "ada_aug_p": 0.0}
    made = network(tmp_path / "x.pt", content)
    assert torch.equal(made.mapping.w_avg, network(tmp_path / "x.pt", content).mapping.w_avg)
    assert (made.mapping.w_avg - GOLDEN["latent_avg"]).abs().max() < 0.2  # the mean of other latents


def test_a_plain_state_dict_with_nvidias_names_loads(tmp_path: Path) -> None:
    made = network(tmp_path / "x.pt", {"g_ema": STATE, "latent_avg": GOLDEN["latent_avg"]})
    again = network(tmp_path / "y.pt", made.state_dict())
    z = GOLDEN["in.z"]
    assert torch.equal(made(z), again(z))


def test_missing_tensors_are_detected(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in STATE.items() if name != "convs.0.conv.weight"}
    torch.save({"g_ema": state, "latent_avg": GOLDEN["latent_avg"]}, tmp_path / "x.pt")
    opened = open_weights(tmp_path / "x.pt")
    missing = StyleGAN2(**opened.config).state_dict().keys() - opened.state().keys()
    assert missing == {"synthesis.b8.conv0.weight", "synthesis.b8.conv0.resample_filter"}


def test_a_stylegan3_without_its_arguments_is_refused(tmp_path: Path) -> None:
    torch.save({"synthesis.input.freqs": torch.zeros(2, 2)}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"use the \.pkl"):
        open_weights(tmp_path / "x.pt")
