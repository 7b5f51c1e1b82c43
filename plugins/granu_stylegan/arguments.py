"""Network configurations from the constructor arguments in NVIDIA's files, or from shapes of tensors. No torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from granu import shown
from granu_stylegan.stylegan3_config import StyleGAN3Config

# these affect training and speed, not the output of a trained network
IGNORED = frozenset(
    {"class_name", "num_fp16_res", "w_avg_beta", "magnitude_ema_beta", "fused_modconv_default", "fp16_channels_last"}
)
# arguments that our networks do not have, with the only value that they compute
FIXED_MAPPING: Mapping[str, Any] = {"activation": "lrelu", "lr_multiplier": 0.01}
FIXED_STYLEGAN2: Mapping[str, Any] = {
    "architecture": "skip",
    "activation": "lrelu",
    "use_noise": True,
    "kernel_size": 3,
    "resample_filter": [1, 3, 3, 1],
}
NVIDIA_STYLEGAN2 = {
    "mapping_layers": 8,
    "img_channels": 3,
    "channel_base": 32768,
    "channel_max": 512,
    "conv_clamp": None,
}
STYLEGAN2_ARGUMENTS = frozenset({"z_dim", "c_dim", "w_dim", "img_resolution", *NVIDIA_STYLEGAN2})
STYLEGAN3_ARGUMENTS = frozenset(field.name for field in dataclasses.fields(StyleGAN3Config))
TO_RGB = re.compile(r"synthesis\.b(\d{1,5})\.torgb\.weight")
CLAMP = "conv_clamp"  # the one argument whose None means something: no clamp


def stylegan2_config(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Translate NVIDIA's arguments to those of our StyleGAN2. ValueError names unknown and unsupported ones."""
    return {**NVIDIA_STYLEGAN2, **_translate(arguments, STYLEGAN2_ARGUMENTS, FIXED_STYLEGAN2, "StyleGAN2")}


def stylegan3_config(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Translate NVIDIA's arguments to fields of StyleGAN3Config. ValueError names unknown and unsupported ones."""
    return _translate(arguments, STYLEGAN3_ARGUMENTS, {}, "StyleGAN3")


def _translate(
    arguments: Mapping[str, Any], known: frozenset[str], fixed: Mapping[str, Any], network: str
) -> dict[str, Any]:
    """Flatten the arguments; those of the mapping and synthesis networks are nested in some versions.

    An argument that is None or has the only supported value is dropped: files converted from TensorFlow state all.
    """
    synthesis = dict(arguments)
    mapping = dict(synthesis.pop("mapping_kwargs", None) or {})
    synthesis |= synthesis.pop("synthesis_kwargs", None) or {}
    layers = mapping.pop("num_layers", None)
    w_dim = synthesis.get("w_dim")
    features = {"layer_features": w_dim, "embed_features": w_dim if synthesis.get("c_dim") else None}
    if not synthesis.get("c_dim"):
        mapping.pop("embed_features", None)  # without classes nothing is embedded
    problems = [
        *_problems(mapping, frozenset(), {**FIXED_MAPPING, **features}, network),
        *_problems(synthesis, known, fixed, network),
    ]
    if problems:
        raise ValueError("; ".join(problems))
    config = {name: value for name, value in synthesis.items() if name in known and _means(name, value)}
    return config if layers is None else {**config, "mapping_layers": layers}


def _problems(given: Mapping[str, Any], known: frozenset[str], fixed: Mapping[str, Any], network: str) -> list[str]:
    """A phrase for each argument that our network does not have, unless it has the value that ours computes."""
    others = {n: v for n, v in given.items() if n not in known and n not in IGNORED and v is not None}
    unknown = sorted(shown(name) for name in others if name not in fixed)
    wrong = [f"its {n} is {shown(v)}, not {fixed[n]}" for n, v in others.items() if n in fixed and v != fixed[n]]
    return [*([f"{network} has no argument {', '.join(unknown)}"] if unknown else []), *wrong]


def _means(name: str, value: Any) -> bool:
    return value is not None or name == CLAMP


def stylegan2_config_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Infer the arguments of a StyleGAN2 from its tensors' shapes. ValueError if a required tensor is missing."""
    try:
        sizes = sorted({int(m[1]) for m in map(TO_RGB.fullmatch, shapes) if m})
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
    except KeyError as missing:
        raise ValueError(f"{missing.args[0]} is missing") from None
    except (IndexError, ValueError):
        raise ValueError("its tensors have the shapes of another network") from None
