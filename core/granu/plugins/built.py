"""Checks that a plugin built what its offer says, so that a mistake is a sentence that names the spec."""

from __future__ import annotations

from typing import Any

from granu.errors import PluginError
from granu.types import DrawingGenerator, EncodingGenerator, Generator


def as_generator(built: Any, spec: object) -> Generator:
    """Return `built` if its sites can be edited; PluginError otherwise."""
    if not isinstance(built, Generator):
        raise PluginError(f"`{spec}` did not build a generator: sites and tail are needed")
    return built


def as_drawing(built: Any, spec: object) -> DrawingGenerator:
    """Return `built` if it is a generator that draws images; PluginError otherwise."""
    if not isinstance(built, DrawingGenerator):
        raise PluginError(f"`{spec}` did not build a generator that draws images: sites, draw and tail are needed")
    return built


def as_encoding(built: Any, spec: object) -> EncodingGenerator:
    """Return `built` if it is a generator that encodes images; PluginError otherwise."""
    if not isinstance(built, EncodingGenerator):
        raise PluginError(
            f"`{spec}` did not build a generator that encodes images: sites, tail, encode and restore are needed"
        )
    return built
