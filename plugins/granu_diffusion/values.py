"""Values in the configuration of a diffusion model, which somebody else wrote: checked, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from granu import WeightsError, shown


def whole(config: Mapping[str, Any], key: str, default: int | None, low: int, high: int, where: str) -> int:
    """A whole number from `low` to `high`. WeightsError for anything else."""
    value = config.get(key, default)
    if type(value) is not int or not low <= value <= high:
        raise WeightsError(f"{where}: {key} is {shown(value)}, not a whole number from {low} to {high}")
    return value


def optional_whole(config: Mapping[str, Any], key: str, low: int, high: int, where: str) -> int | None:
    """A whole number, or None if there is none."""
    return None if config.get(key) is None else whole(config, key, None, low, high, where)


def number(config: Mapping[str, Any], key: str, default: float, low: float, high: float, where: str) -> float:
    """A number from `low` to `high`. WeightsError for anything else."""
    value = config.get(key, default)
    if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
        raise WeightsError(f"{where}: {key} is {shown(value)}, not a number from {low:g} to {high:g}")
    return float(value)


def truth(config: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    """True or False. WeightsError for anything else."""
    value = config.get(key, default)
    if type(value) is not bool:
        raise WeightsError(f"{where}: {key} is {shown(value)}, neither true nor false")
    return value


def one_of(config: Mapping[str, Any], key: str, default: str, known: tuple[str, ...], where: str) -> str:
    """One of the `known` texts. WeightsError for anything else."""
    value = config.get(key, default)
    if value not in known:
        raise WeightsError(f"{where}: {key} is '{shown(value)}'; granu knows {', '.join(known)}")
    return str(value)


def sizes(config: Mapping[str, Any], key: str, default: int | None, high: int, where: str) -> tuple[int, int]:
    """A height and width, given as one number or two. WeightsError for anything else."""
    value = config.get(key, default)
    pair = [value, value] if type(value) is int else value
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(type(n) is int and 1 <= n <= high for n in pair):
        raise WeightsError(f"{where}: {key} is {shown(value)}, not a height and width of at most {high}")
    return pair[0], pair[1]


def widths(config: Mapping[str, Any], key: str, default: tuple[int, ...], where: str) -> tuple[int, ...]:
    """Channels of the blocks of a network, at most ten. WeightsError for anything else."""
    value = config.get(key, default)
    fits = isinstance(value, list | tuple) and 1 <= len(value) <= 10
    if not fits or not all(type(n) is int and 1 <= n <= 1 << 20 for n in value):
        raise WeightsError(f"{where}: {key} is {shown(value)}, not a list of up to ten numbers of channels")
    return tuple(value)
