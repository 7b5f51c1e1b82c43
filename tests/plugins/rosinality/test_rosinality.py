"""rosinality's checkpoints load and give the images of the original implementation."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from granu import BuildContext, WeightsError, WeightsWarning
from granu.plugins.catalog import Catalog
from granu_stylegan import StyleGANOptions, describe, make, read
from granu_stylegan.formats import open_weights
from granu_stylegan.stylegan2 import StyleGAN2

# random weights, and the image of rosinality/stylegan2-pytorch for them: stored noise, truncation 0.7
GOLDEN = load_file(Path(__file__).with_name("rosinality.safetensors"))
STATE = {name.removeprefix("g_ema."): tensor for name, tensor in GOLDEN.items() if name.startswith("g_ema.")}


def network(file: Path, content: dict[str, Any], zipped: bool = True) -> StyleGAN2:
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return load(file)


def load(file: Path) -> StyleGAN2:
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


def test_the_smoothing_filter_is_the_files(tmp_path: Path) -> None:
    """Another filter, not symmetric; the image is that of the original implementation, every third pixel of it."""
    other = load_file(Path(__file__).with_name("rosinality-kernel.safetensors"))
    golden = other.pop("out.image_truncation0.7")
    content = {"g_ema": {**STATE, **other}, "latent_avg": GOLDEN["latent_avg"]}
    image = network(tmp_path / "x.pt", content)(GOLDEN["in.z"], None, 0.7)[:, :, 1::3, 1::3]
    assert (image - golden).abs().max() / (golden.max() - golden.min()) < 1e-4


def test_a_filter_of_another_size_is_refused(tmp_path: Path) -> None:
    torch.save({"g_ema": {**STATE, "convs.0.conv.blur.kernel": torch.ones(3, 3)}}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"smooths with a filter of \(3, 3\); only \(4, 4\) is supported"):
        open_weights(tmp_path / "x.pt")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_average_alone_loads(tmp_path: Path, prefix: str) -> None:
    content = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
    made = network(tmp_path / "x.pt", content)
    whole = network(tmp_path / "y.pt", {"g_ema": STATE})
    assert torch.equal(made(GOLDEN["in.z"]), whole(GOLDEN["in.z"]))


@pytest.mark.parametrize("form", ["plain", "G_ema", "g_ema", "module", "safetensors"])
def test_a_plain_state_dict_with_nvidias_names_loads(tmp_path: Path, form: str) -> None:
    made = network(tmp_path / "x.pt", {"g_ema": STATE, "latent_avg": GOLDEN["latent_avg"]})
    state = made.state_dict()
    file = tmp_path / "y.pt"
    match form:
        case "plain":
            torch.save(state, file)
        case "module":
            torch.save({f"module.{name}": tensor for name, tensor in state.items()}, file)
        case "safetensors":
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
        case _:
            torch.save({form: state, "step": 3}, file)
    assert torch.equal(made(GOLDEN["in.z"]), load(file)(GOLDEN["in.z"]))


def test_a_checkpoint_without_a_known_average_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"netG": STATE, "netD": {}}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="holds netG, netD, and none is named G_ema or g_ema"):
        open_weights(tmp_path / "x.pt")


def test_a_state_dict_does_not_state_its_clamp_and_takes_one(tmp_path: Path) -> None:
    state = network(tmp_path / "x.pt", {"g_ema": STATE}).state_dict()
    file = tmp_path / "y.pt"
    torch.save(state, file)
    context = BuildContext(Catalog())
    with pytest.warns(WeightsWarning, match="does not state whether activations are clamped") as caught:
        unclamped = make(StyleGANOptions(weights=str(file)), context)
    assert "clamp=256" in str(caught[0].message) and "note" in describe(StyleGANOptions(weights=str(file)), context)
    options = StyleGANOptions(weights=str(file), clamp=0.1)
    clamped = make(options, context)  # and does not warn
    assert "note" not in describe(options, context)
    assert clamped.network.layers[0].clamp == 0.1 and unclamped.network.layers[0].clamp is None
    assert clamped.fingerprint != unclamped.fingerprint
    header, _ = read(file, options)
    assert header.config["conv_clamp"] == 0.1


def test_rosinalitys_networks_do_not_clamp_and_nothing_is_asked(tmp_path: Path) -> None:
    torch.save({"g_ema": STATE}, tmp_path / "x.pt")
    opened = open_weights(tmp_path / "x.pt", 256)
    assert opened.config["conv_clamp"] is None and not opened.unstated


def test_missing_tensors_are_detected(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in STATE.items() if name != "convs.0.conv.weight"}
    torch.save({"g_ema": state, "latent_avg": GOLDEN["latent_avg"]}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"missing: synthesis\.b8\.conv0\.weight\)"):
        open_weights(tmp_path / "x.pt")


def test_a_stylegan3_without_its_arguments_is_refused(tmp_path: Path) -> None:
    torch.save({"synthesis.input.freqs": torch.zeros(2, 2)}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"use the \.pkl"):
        open_weights(tmp_path / "x.pt")
