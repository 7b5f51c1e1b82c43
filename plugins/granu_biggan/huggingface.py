"""The file format of pytorch-pretrained-BigGAN: a folder with config.json and pytorch_model.bin (or safetensors).

Source: huggingface/pytorch-pretrained-BigGAN (MIT), which converted DeepMind's BigGAN-deep from TensorFlow. Only
the layout of its files is taken from there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import WeightsError, read_text, reason, shown
from granu_biggan.config import BigGANConfig, LayerPlan

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin")
BOTTOM = 4
LONGEST_CONFIG = 1_000_000  # bytes of config.json

# their names to ours; an unknown tensor keeps its name and is reported as unexpected
RENAME = [
    (re.compile(pattern), ours)
    for pattern, ours in [
        (r"embeddings\.", "embedding."),
        (r"generator\.gen_z\.", "linear."),
        (r"generator\.conv_to_rgb\.", "to_rgb."),
        (r"generator\.bn\.weight", "norm.gain"),
        (r"generator\.bn\.", "norm."),
        (r"generator\.layers\.(\d+)\.bn_(\d)\.", r"layers.\1.norms.\2."),
        (r"generator\.layers\.(\d+)\.conv_(\d)\.", r"layers.\1.convs.\2."),
        (r"generator\.layers\.(\d+)\.snconv1x1_theta\.", r"layers.\1.query."),
        (r"generator\.layers\.(\d+)\.snconv1x1_phi\.", r"layers.\1.key."),
        (r"generator\.layers\.(\d+)\.snconv1x1_g\.", r"layers.\1.value."),
        (r"generator\.layers\.(\d+)\.snconv1x1_o_conv\.", r"layers.\1.out."),
        (r"generator\.layers\.(\d+)\.gamma", r"layers.\1.strength"),
        (r"\.scale\.", ".gain."),
        (r"\.offset\.", ".bias."),
        (r"\.running_means$", ".mean"),
        (r"\.running_vars$", ".variance"),
    ]
]


def recognises(path: Path) -> bool:
    """Recognise the folder by its config.json."""
    return (path / CONFIG).is_file()


def read_config(folder: Path) -> BigGANConfig:
    """Read config.json. WeightsError if it does not describe a BigGAN-deep."""
    try:
        given = json.loads(read_text(folder / CONFIG, LONGEST_CONFIG))
        config = config_from(given)
        config.check()
        return config
    except WeightsError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError, RecursionError) as problem:
        raise WeightsError(f"{folder / CONFIG} does not describe a BigGAN-deep ({_describe(problem)})") from None


def config_from(given: Mapping[str, Any]) -> BigGANConfig:
    """Translate a config.json, whose layers are [grow?, inputs, outputs] in units of channel_width."""
    width = given["channel_width"]
    if not all(isinstance(number, int) for layer in given["layers"] for number in (width, *layer)):
        raise ValueError("its layers are not numbers")  # a text times a number would be a long text
    layers = [LayerPlan("bottleneck", n * width, m * width, bool(grow)) for grow, n, m in given["layers"]]
    attention = given["attention_layer_position"]
    if 0 <= attention < len(layers):
        channels = layers[attention].channels_in
        layers.insert(attention, LayerPlan("attention", channels, channels))
    z_dim = given["z_dim"]
    return BigGANConfig(
        z_dim=z_dim,
        y_dim=given.get("class_embed_dim", z_dim),
        classes=given["num_classes"],
        layers=tuple(layers),
        hierarchy="whole",
        bottom=BOTTOM,
        epsilon=float(given["eps"]),
    )


def weights_file(folder: Path) -> Path:
    """Find the weights in a folder. WeightsError if there are none."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(f"{folder} has a {CONFIG} but none of {', '.join(WEIGHTS)}")


def translate(state: Mapping[str, Tensor], config: BigGANConfig) -> dict[str, Tensor]:
    """Rename the weights (spectral norm already folded) and reorder their inputs as ours."""
    ours = {_rename(name): tensor for name, tensor in state.items()}
    for name, tensor in ours.items():
        if name == "embedding.weight":
            ours[name] = tensor.T
        elif name.endswith((".gain.weight", ".bias.weight")):
            ours[name] = _class_first(tensor, config)
        elif name == "linear.weight":
            ours[name] = _channels_first(_class_first(tensor, config))
        elif name == "linear.bias":
            ours[name] = _channels_first(tensor)
        elif name.startswith("to_rgb."):
            ours[name] = tensor[:3]  # they compute channel_width channels and use three
        elif name.endswith(".strength"):
            ours[name] = tensor.reshape([])
    return ours


def _rename(name: str) -> str:
    for pattern, ours in RENAME:
        name = pattern.sub(ours, name)
    return name


def _class_first(weight: Tensor, config: BigGANConfig) -> Tensor:
    """Reorder columns from (z, y) to (y, z)."""
    import torch

    return torch.cat([weight[:, config.z_dim :], weight[:, : config.z_dim]], dim=1)


def _channels_first(rows: Tensor) -> Tensor:
    """Reorder rows from (h, w, C), as in TensorFlow, to (C, h, w)."""
    return rows.unflatten(0, (BOTTOM, BOTTOM, -1)).movedim(2, 0).flatten(0, 2)


def _describe(problem: Exception) -> str:
    return f"{shown(problem.args[0])} is missing" if isinstance(problem, KeyError) else reason(problem)
