"""The rules for a configuration, and the tensors of its network: checked before anything is built; without torch.

A file's arguments are claims. They are compared with the tensors in the file, whose sizes the file's own size bounds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from granu import shown
from granu_stylegan.stylegan3_config import StyleGAN3Config, filter_plan, layer_name, layer_plans

Shape = tuple[int, ...]
LARGEST = 1 << 24  # of any argument: far more than any network has
MOST_LAYERS = 1 << 10
LARGEST_IMAGE = 1 << 14
FEWEST = {"c_dim": 0, "num_critical": 0, "margin_size": 0, "img_resolution": 8}  # of all others 1
MOST = {"mapping_layers": MOST_LAYERS, "num_layers": MOST_LAYERS, "img_resolution": LARGEST_IMAGE, "margin_size": 1000}
STYLEGAN2_REQUIRED = ("z_dim", "w_dim", "img_resolution", "img_channels", "channel_base", "channel_max")
STYLEGAN2_DEFAULTS = {"c_dim": 0, "mapping_layers": 8, "conv_clamp": 256}
KERNEL = 4  # taps of StyleGAN2's low-pass filter


def checked_stylegan2(config: Mapping[str, Any]) -> dict[str, Any]:
    """The complete arguments of a StyleGAN2. ValueError says which one is missing, unknown or impossible."""
    for name in STYLEGAN2_REQUIRED:
        if config.get(name) is None:
            raise ValueError(f"{name} is missing")
    full = {**STYLEGAN2_DEFAULTS, **config}
    for name, value in full.items():
        if name not in STYLEGAN2_REQUIRED and name not in STYLEGAN2_DEFAULTS:
            raise ValueError(f"StyleGAN2 has no argument {shown(name)}")
        full[name] = _clamp(value) if name == "conv_clamp" else _whole(name, value)
    R = full["img_resolution"]
    if R & (R - 1):
        raise ValueError(f"img_resolution={R} must be a power of two, 8 or more")
    if full["channel_base"] < R:
        raise ValueError(f"channel_base={full['channel_base']} leaves no channels at {R} pixels")
    return full


def checked_stylegan3(config: Mapping[str, Any]) -> StyleGAN3Config:
    """The configuration of a StyleGAN3. ValueError says which field is missing, unknown or impossible."""
    kinds = {field.name: field.type for field in dataclasses.fields(StyleGAN3Config)}
    if "img_resolution" not in config:
        raise ValueError("img_resolution is missing")
    full: dict[str, Any] = {}
    for name, value in config.items():
        kind = kinds.get(name)
        if kind is None:
            raise ValueError(f"StyleGAN3 has no argument {shown(name)}")
        if kind == "int":
            full[name] = _whole(name, value)
        elif kind == "bool":
            full[name] = _truth(name, value)
        else:
            full[name] = _clamp(value) if name == "conv_clamp" else _frequency(name, value)
    made = StyleGAN3Config(**full)
    if made.num_critical >= made.num_layers:
        raise ValueError(f"num_critical={made.num_critical} must be less than num_layers={made.num_layers}")
    if any(plan.rate < 1 or plan.channels < 1 for plan in layer_plans(made)):
        raise ValueError("its frequencies leave a layer without samples or channels")
    return made


def stylegan2_shapes(config: Mapping[str, Any]) -> dict[str, Shape]:
    """The tensors of a StyleGAN2 by name, from checked arguments."""
    return dict(_stylegan2(config))


def stylegan3_shapes(config: StyleGAN3Config) -> dict[str, Shape]:
    """The tensors of a StyleGAN3 by name, from a checked configuration."""
    return dict(_stylegan3(config))


def _stylegan2(config: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    w_dim = config["w_dim"]
    yield from _mapping(config["z_dim"], config["c_dim"], w_dim, config["mapping_layers"])
    sizes = [2**k for k in range(2, config["img_resolution"].bit_length())]
    channels = [min(config["channel_base"] // size, config["channel_max"]) for size in sizes]
    for (_, n_in), (size, n) in pairwise(zip([0, *sizes], [0, *channels], strict=True)):
        block = f"synthesis.b{size}"
        yield f"{block}.resample_filter", (KERNEL, KERNEL)
        if not n_in:
            yield f"{block}.const", (n, size, size)
        for conv, inputs in (("conv0", n_in), ("conv1", n)):
            if inputs:
                yield from _affine(f"{block}.{conv}", w_dim, inputs)
                yield f"{block}.{conv}.weight", (n, inputs, 3, 3)
                yield f"{block}.{conv}.bias", (n,)
                yield f"{block}.{conv}.noise_strength", ()
                yield f"{block}.{conv}.noise_const", (size, size)
                yield f"{block}.{conv}.resample_filter", (KERNEL, KERNEL)
        yield from _affine(f"{block}.torgb", w_dim, n)
        yield f"{block}.torgb.weight", (config["img_channels"], n, 1, 1)
        yield f"{block}.torgb.bias", (config["img_channels"],)


def _stylegan3(config: StyleGAN3Config) -> Iterator[tuple[str, Shape]]:
    yield from _mapping(config.z_dim, config.c_dim, config.w_dim, config.mapping_layers)
    plans = layer_plans(config)
    n = plans[0].channels
    yield "synthesis.input.weight", (n, n)
    yield from _affine("synthesis.input", config.w_dim, 4)
    yield "synthesis.input.transform", (3, 3)
    yield "synthesis.input.freqs", (n, 2)
    yield "synthesis.input.phases", (n,)
    for i, (before, plan) in enumerate(pairwise([plans[0], *plans])):
        layer, k = f"synthesis.{layer_name(i, plan)}", 1 if plan.to_rgb else config.conv_kernel
        yield from _affine(layer, config.w_dim, before.channels)
        yield f"{layer}.weight", (plan.channels, before.channels, k, k)
        yield f"{layer}.bias", (plan.channels,)
        yield f"{layer}.magnitude_ema", ()
        filters = filter_plan(config, before, plan)
        if filters.up_taps > 1:
            yield f"{layer}.up_filter", (filters.up_taps,)
        if filters.down_taps > 1:
            yield f"{layer}.down_filter", (filters.down_taps,) * (2 if filters.radial else 1)


def _mapping(z_dim: int, c_dim: int, w_dim: int, layers: int) -> Iterator[tuple[str, Shape]]:
    if c_dim:
        yield "mapping.embed.weight", (w_dim, c_dim)
        yield "mapping.embed.bias", (w_dim,)
    for k in range(layers):
        n_in = w_dim if k else z_dim + (w_dim if c_dim else 0)
        yield f"mapping.fc{k}.weight", (w_dim, n_in)
        yield f"mapping.fc{k}.bias", (w_dim,)
    yield "mapping.w_avg", (w_dim,)


def _affine(owner: str, w_dim: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{owner}.affine.weight", (outputs, w_dim)
    yield f"{owner}.affine.bias", (outputs,)


def _whole(name: str, value: Any) -> int:
    """An integer, also as a float without a fraction, as some recipes compute channels."""
    low, high = FEWEST.get(name, 1), MOST.get(name, LARGEST)
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if type(number) is not int or not low <= number <= high:
        raise ValueError(f"{name} is {shown(value)}, no integer from {low} to {high}")
    return number


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {shown(value)}, neither true nor false")
    return value


def _clamp(value: Any) -> float | None:
    if value is not None and not _is_positive(value):
        raise ValueError(f"conv_clamp is {shown(value)}, no positive number")
    return value


def _frequency(name: str, value: Any) -> float:
    if not _is_positive(value) or not 1e-3 <= value <= LARGEST:
        raise ValueError(f"{name} is {shown(value)}, no number from 0.001 to {LARGEST}")
    return value


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
