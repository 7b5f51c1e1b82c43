"""The argument sets of public networks, as NVIDIA's training scripts and converters write them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from nvidia_files import Golden, dump, module_state, network_pickle, persistent

from granu import WeightsError
from granu_stylegan.arguments import stylegan2_config, stylegan3_config
from granu_stylegan.formats import open_weights
from granu_stylegan.shapes import checked_stylegan2, checked_stylegan3, stylegan2_shapes, stylegan3_shapes
from granu_stylegan.stylegan2 import StyleGAN2
from granu_stylegan.stylegan3 import StyleGAN3
from granu_stylegan.stylegan3_config import StyleGAN3Config

DATA: dict[str, Any] = {"c_dim": 0, "img_resolution": 1024, "img_channels": 3}


def ada(base: int, layers: int, **data: int) -> dict[str, Any]:
    """train.py of StyleGAN2-ADA: auto, stylegan2, paper256, paper512, paper1024 and cifar differ in these two."""
    synthesis = {"channel_base": base, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": 256}
    mapping = {"num_layers": layers}
    return {"z_dim": 512, "w_dim": 512, **DATA, **data, "mapping_kwargs": mapping, "synthesis_kwargs": synthesis}


def converted_mapping(**given: Any) -> dict[str, Any]:
    """legacy.py states every argument of the mapping network, those without a value as None."""
    features = {"embed_features": None, "layer_features": None}
    rest = {"activation": "lrelu", "lr_multiplier": 0.01, "w_avg_beta": 0.995}
    return {"num_layers": 8, **features, **rest, **given}


CONVERTED = {
    "channel_base": 32768,
    "channel_max": 512,
    "num_fp16_res": 0,
    "conv_clamp": None,
    "architecture": "skip",
    "resample_filter": [1, 3, 3, 1],
    "use_noise": True,
    "activation": "lrelu",
}
TRAINED3 = {"z_dim": 512, "w_dim": 512, **DATA, "mapping_kwargs": {"num_layers": 2}, "magnitude_ema_beta": 0.9994}
STYLEGAN2: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # name -> arguments, what they mean
    "ada auto, small": (
        ada(16384, 2, img_resolution=256),
        {"mapping_layers": 2, "channel_base": 16384, "conv_clamp": 256},
    ),
    "ada stylegan2": (ada(32768, 8), {"mapping_layers": 8, "channel_base": 32768, "img_resolution": 1024}),
    "ada paper256": (ada(16384, 8, img_resolution=256), {"channel_base": 16384, "img_resolution": 256}),
    "ada cifar": (ada(32768, 2, img_resolution=32, c_dim=10), {"c_dim": 10, "img_resolution": 32}),
    "ada in full precision": (
        {**ada(32768, 8), "synthesis_kwargs": {"channel_base": 32768, "num_fp16_res": 0, "conv_clamp": None}},
        {"conv_clamp": None},
    ),
    "legacy.py of ada": (
        {"z_dim": 512, "w_dim": 512, **DATA, "mapping_kwargs": converted_mapping(), "synthesis_kwargs": CONVERTED},
        {"mapping_layers": 8, "conv_clamp": None, "channel_base": 32768},
    ),
    "legacy.py of ada, with classes": (
        {"z_dim": 512, "w_dim": 512, **DATA, "c_dim": 10}
        | {"mapping_kwargs": converted_mapping(embed_features=512, layer_features=512), "synthesis_kwargs": CONVERTED},
        {"c_dim": 10},
    ),
    "legacy.py of ada, with a forced half precision": (
        {"z_dim": 512, "w_dim": 512, **DATA, "mapping_kwargs": converted_mapping()}
        | {"synthesis_kwargs": {**CONVERTED, "num_fp16_res": 4, "conv_clamp": 256}},
        {"conv_clamp": 256},
    ),
    "legacy.py of stylegan3": (
        {"z_dim": 512, "w_dim": 512, **DATA, **CONVERTED, "mapping_kwargs": converted_mapping()},
        {"mapping_layers": 8, "conv_clamp": None},
    ),
    "stylegan3's stylegan2": (
        {"z_dim": 512, "w_dim": 512, **DATA, "channel_base": 32768, "channel_max": 512}
        | {"mapping_kwargs": {"num_layers": 8}, "fused_modconv_default": "inference_only"},
        {"mapping_layers": 8},
    ),
    "nothing but the sizes": ({"z_dim": 64, "w_dim": 64, **DATA}, {"mapping_layers": 8, "channel_base": 32768}),
}
STYLEGAN3: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "stylegan3-t": (
        {**TRAINED3, "channel_base": 32768, "channel_max": 512},
        {"conv_kernel": 3, "mapping_layers": 2, "use_radial_filters": False},
    ),
    "stylegan3-r": (
        {**TRAINED3, "channel_base": 65536, "channel_max": 1024, "conv_kernel": 1, "use_radial_filters": True},
        {"conv_kernel": 1, "channel_max": 1024, "use_radial_filters": True},
    ),
    "stylegan3-t in full precision": (
        {**TRAINED3, "channel_base": 32768, "channel_max": 512, "num_fp16_res": 0, "conv_clamp": None},
        {"conv_clamp": None},
    ),
}


@pytest.mark.parametrize("name", STYLEGAN2)
def test_public_configurations_of_stylegan2(name: str) -> None:
    arguments, meaning = STYLEGAN2[name]
    config = stylegan2_config(arguments)
    assert config | meaning == config
    assert stylegan2_shapes(checked_stylegan2(config))


@pytest.mark.parametrize("name", STYLEGAN3)
def test_public_configurations_of_stylegan3(name: str) -> None:
    arguments, meaning = STYLEGAN3[name]
    config = vars(checked_stylegan3(stylegan3_config(arguments)))
    assert config | meaning == config
    assert config["img_resolution"] == 1024


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mapping_kwargs": {"layer_features": 256}}, "its layer_features is 256, not 512"),
        ({"mapping_kwargs": {"embed_features": 256}, "c_dim": 3}, "its embed_features is 256, not 512"),
        ({"mapping_kwargs": {"activation": "relu"}}, "its activation is relu, not lrelu"),
        ({"mapping_kwargs": {"lr_multiplier": 1}}, "its lr_multiplier is 1, not 0.01"),
        ({"resample_filter": [1, 2, 1]}, r"its resample_filter is \[1, 2, 1\], not \[1, 3, 3, 1\]"),
        ({"architecture": "orig", "use_noise": False}, "its architecture is orig, not skip; its use_noise is False"),
        ({"blur": 3, "haste": 4}, "StyleGAN2 has no argument blur, haste"),
    ],
)
def test_arguments_that_our_network_does_not_have_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stylegan2_config({"z_dim": 512, "w_dim": 512, **DATA, **change})


def test_a_file_that_legacy_py_converted_gives_the_images_of_the_original(tmp_path: Path) -> None:
    golden = Golden("stylegan2")
    given = golden.arguments
    clamp, layers = given["synthesis_kwargs"].get("conv_clamp"), given["mapping_kwargs"]["num_layers"]
    given["mapping_kwargs"] = converted_mapping(num_layers=layers)
    given["synthesis_kwargs"] = {**CONVERTED, **given["synthesis_kwargs"], "conv_clamp": clamp}
    (tmp_path / "x.pkl").write_bytes(network_pickle(golden))
    opened = open_weights(tmp_path / "x.pkl")
    network = StyleGAN2(**opened.config)
    network.load_state_dict(opened.state())
    with torch.no_grad():
        image = network(golden.z, golden.c, 0.7)
    assert (image - golden.image).abs().max() / (golden.image.max() - golden.image.min()) < 1e-4


@pytest.mark.parametrize("clamp", [None, 256])
def test_the_layers_know_whether_they_clamp(tmp_path: Path, clamp: float | None) -> None:
    """StyleGAN2's default is no clamp in StyleGAN2-ADA and 256 in the code of StyleGAN3."""
    golden = Golden("stylegan2")
    golden.arguments["synthesis_kwargs"].pop("conv_clamp", None)
    state = module_state(golden.state, golden.arguments)
    state["_modules"]["synthesis"].arguments[0]["state"]["conv_clamp"] = clamp
    (tmp_path / "x.pkl").write_bytes(dump({"G_ema": persistent("Generator", state)}))
    assert open_weights(tmp_path / "x.pkl").config["conv_clamp"] == clamp


def test_the_network_alone_and_a_file_without_an_average_open(tmp_path: Path) -> None:
    golden = Golden("stylegan2")
    network = persistent("Generator", module_state(golden.state, golden.arguments))
    for content in (network, {"G": network}, {"G": network, "D": None, "G_ema": None}):
        (tmp_path / "x.pkl").write_bytes(dump(content))
        assert open_weights(tmp_path / "x.pkl").state().keys() == golden.state.keys()


def test_a_pickled_state_dict_says_how_to_write_it(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(dump({"G_ema": {"w": torch.zeros(2)}}))
    with pytest.raises(WeightsError, match=r"holds tensors only; write it with torch\.save"):
        open_weights(tmp_path / "x.pkl")


SIZES2 = [
    {
        "z_dim": 8,
        "w_dim": 12,
        "img_resolution": 16,
        "img_channels": 1,
        "channel_base": 64,
        "channel_max": 6,
        "c_dim": 3,
    },
    {"z_dim": 8, "w_dim": 8, "img_resolution": 8, "img_channels": 3, "channel_base": 128, "channel_max": 512},
]


@pytest.mark.parametrize("config", SIZES2)
def test_the_listed_tensors_are_those_of_a_stylegan2(config: dict[str, Any]) -> None:
    full = checked_stylegan2({**config, "mapping_layers": 3})
    own = {name: tuple(tensor.shape) for name, tensor in StyleGAN2(**full).state_dict().items()}
    assert stylegan2_shapes(full) == own


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("classes", [0, 4])
def test_the_listed_tensors_are_those_of_a_stylegan3(radial: bool, classes: int) -> None:
    sizes = {"img_resolution": 32, "z_dim": 8, "w_dim": 12, "channel_base": 256, "channel_max": 16, "num_layers": 5}
    kernel = 1 if radial else 3
    config = StyleGAN3Config(**sizes, c_dim=classes, use_radial_filters=radial, conv_kernel=kernel)
    checked = checked_stylegan3(vars(config))
    assert checked == config
    own = {name: tuple(tensor.shape) for name, tensor in StyleGAN3(config).state_dict().items()}
    assert stylegan3_shapes(config) == own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z_dim": 0}, "z_dim is 0, no integer from 1"),
        ({"z_dim": 10**40}, "z_dim is 1000"),
        ({"z_dim": 10**4000}, "z_dim is an integer of 13288 bits"),
        ({"z_dim": "8"}, "z_dim is 8, no integer"),
        ({"z_dim": [8]}, r"z_dim is \[8\], no integer"),
        ({"z_dim": True}, "z_dim is True, no integer"),
        ({"z_dim": 8.5}, "z_dim is 8.5, no integer"),
        ({"z_dim": None}, "z_dim is missing"),
        ({"mapping_layers": 10**9}, "mapping_layers is 1000000000, no integer from 1 to 1024"),
        ({"img_resolution": 12}, "must be a power of two"),
        ({"img_resolution": 2**40}, "img_resolution is"),
        ({"channel_base": 4}, "leaves no channels"),
        ({"conv_clamp": float("nan")}, "conv_clamp is nan"),
        ({"conv_clamp": -1}, "conv_clamp is -1"),
        ({"blur": 1}, "no argument blur"),
    ],
)
def test_impossible_arguments_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_stylegan2({**SIZES2[0], **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_layers": 10**9}, "num_layers is"),
        ({"num_critical": 14}, "num_critical=14 must be less than num_layers=14"),
        ({"first_cutoff": 0}, "first_cutoff is 0"),
        ({"first_stopband": float("inf")}, "first_stopband is inf"),
        ({"first_stopband": 0.01}, "without samples or channels"),
        ({"use_radial_filters": 1}, "neither true nor false"),
        ({"filter_size": -6}, "filter_size is -6"),
        ({"blur": 1}, "no argument blur"),
    ],
)
def test_impossible_fields_of_a_stylegan3_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_stylegan3({"img_resolution": 64, **change})
