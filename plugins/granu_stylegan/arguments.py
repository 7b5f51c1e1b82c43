"""Network configurations from the constructor arguments in NVIDIA's files, or from shapes of tensors. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from granu_stylegan.stylegan3_config import StyleGAN3Config

# these affect training and speed, not the output of a trained network
IGNORED = frozenset(
    {"class_name", "num_fp16_res", "w_avg_beta", "magnitude_ema_beta", "fused_modconv_default", "fp16_channels_last"}
)
# the only values that our StyleGAN2 supports
FIXED = {
    "architecture": "skip",
    "activation": "lrelu",
    "use_noise": True,
    "lr_multiplier": 0.01,
    "resample_filter": [1, 3, 3, 1],
}
NVIDIA_STYLEGAN2 = {
    "mapping_layers": 8,
    "img_channels": 3,
    "channel_base": 32768,
    "channel_max": 512,
    "conv_clamp": None,
}
STYLEGAN2_ARGUMENTS = {"z_dim", "c_dim", "w_dim", "img_resolution", *NVIDIA_STYLEGAN2}


def stylegan2_config(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Translate NVIDIA's arguments to those of our StyleGAN2. ValueError names an unknown or unsupported one."""
    given = flat(arguments)
    for name, usual in FIXED.items():
        if name in given and given.pop(name) != usual:
            raise ValueError(f"its {name} is not {usual}, the only one that is supported")
    if unknown := given.keys() - STYLEGAN2_ARGUMENTS:
        raise ValueError(f"StyleGAN2 has no argument {', '.join(sorted(unknown))}")
    return {**NVIDIA_STYLEGAN2, **given}


def stylegan3_config(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Translate NVIDIA's arguments to fields of StyleGAN3Config. ValueError names an unknown one."""
    given = flat(arguments)
    if unknown := given.keys() - {field.name for field in dataclasses.fields(StyleGAN3Config)}:
        raise ValueError(f"StyleGAN3 has no argument {', '.join(sorted(unknown))}")
    return given


def flat(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten the arguments, with those of mapping and synthesis, and drop ignored ones."""
    given = dict(arguments)
    mapping, synthesis = (dict(given.pop(f"{part}_kwargs", None) or {}) for part in ("mapping", "synthesis"))
    if "num_layers" in mapping:
        mapping["mapping_layers"] = mapping.pop("num_layers")
    return {name: value for name, value in {**given, **synthesis, **mapping}.items() if name not in IGNORED}


def stylegan2_config_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Infer the arguments of a StyleGAN2 from its tensors' shapes. KeyError if a required tensor is missing."""
    sizes = sorted(
        int(n.split(".")[1][1:]) for n in shapes if n.startswith("synthesis.b") and n.endswith(".torgb.weight")
    )
    channels = {size: shapes[f"synthesis.b{size}.conv1.weight"][0] for size in sizes}
    c_dim = shapes["mapping.embed.weight"][1] if "mapping.embed.weight" in shapes else 0
    w_dim, first = shapes["mapping.fc0.weight"]
    R, widest = sizes[-1], max(channels.values())
    return {
        "z_dim": first - (w_dim if c_dim else 0),
        "c_dim": c_dim,
        "w_dim": w_dim,
        "img_resolution": R,
        "img_channels": shapes[f"synthesis.b{R}.torgb.weight"][0],
        "mapping_layers": sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in shapes),
        "channel_base": max(count * size for size, count in channels.items()),
        "channel_max": widest,
        "conv_clamp": None,
    }
