"""StyleGAN2 against results of NVIDIA's implementation."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from granu_stylegan.stylegan2 import Mapping, StyleGAN2

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # of the range of the numbers compared
LAYERS = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1"]


def agree(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= TOLERANCE * (theirs.max() - theirs.min()))


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    """Results for two images; activations hold every seventh number of the first image, from the third on."""
    return load_file(HERE / "stylegan2-conditional.safetensors")


@pytest.fixture(scope="module")
def network(golden: dict[str, Tensor]) -> StyleGAN2:
    with safe_open(HERE / "stylegan2-conditional.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
    network = StyleGAN2(
        z_dim=config["z_dim"],
        c_dim=config["c_dim"],
        w_dim=config["w_dim"],
        img_resolution=config["img_resolution"],
        img_channels=config["img_channels"],
        mapping_layers=config["mapping_kwargs"]["num_layers"],
        channel_base=config["synthesis_kwargs"]["channel_base"],
        channel_max=config["synthesis_kwargs"]["channel_max"],
        conv_clamp=config["synthesis_kwargs"]["conv_clamp"],
    ).requires_grad_(False)
    network.load_state_dict(weights(golden), strict=True)
    return network


def weights(golden: dict[str, Tensor], part: str = "") -> dict[str, Tensor]:
    prefix = f"state.{part}"
    return {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}


def test_mapping_with_truncation_agrees(golden: dict[str, Tensor], network: StyleGAN2) -> None:
    w = network.mapping(golden["in.z"], golden["in.c"], truncation=0.7)
    assert agree(w[:, None], golden["out.ws_psi0.7"])


def test_image_agrees(golden: dict[str, Tensor], network: StyleGAN2) -> None:
    assert agree(network(golden["in.z"], golden["in.c"], 0.7), golden["out.image"])


def test_every_layer_agrees(golden: dict[str, Tensor], network: StyleGAN2) -> None:
    w = golden["out.ws_psi0.7"][:, 0]
    x = network.start(len(w))
    for i, name in enumerate(LAYERS):
        x = network.layer(i, x, network.affine(i, w), network.noise(i)[None, None])
        assert agree(x[0].flatten()[2::7], golden[f"act.{name}"]), name


def test_unconditional_mapping_agrees() -> None:
    golden = load_file(HERE / "stylegan2-unconditional.safetensors")
    mapping = Mapping(z_dim=32, c_dim=0, w_dim=48, layers=3).requires_grad_(False)
    mapping.load_state_dict(weights(golden, "mapping."), strict=True)
    assert agree(mapping(golden["in.z"], truncation=0.7)[:, None], golden["out.ws_psi0.7"])


def test_half_the_layers_end_a_block(network: StyleGAN2) -> None:
    assert [network.block_ending_at(i) for i in range(7)] == [0, None, 1, None, 2, None, 3]


@pytest.mark.parametrize("resolution", [4, 24])
def test_an_unsupported_size_is_refused(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"img_resolution={resolution}"):
        StyleGAN2(img_resolution=resolution)


def test_an_image_does_not_depend_on_its_batch(golden: dict[str, Tensor], network: StyleGAN2) -> None:
    both = network(golden["in.z"], golden["in.c"])
    alone = network(golden["in.z"][1:], golden["in.c"][1:])
    torch.testing.assert_close(both[1:], alone)
