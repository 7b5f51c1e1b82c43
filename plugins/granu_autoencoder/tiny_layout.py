"""The layers of a TAESD, read from the names and shapes of its tensors; without torch.

Source: madebyollin/taesd (MIT), whose encoder and decoder are sequences: `3.conv.0.weight` belongs to layer 3. Layers
without weights have no tensors, so a missing number is a clamp, a ReLU or an upsampling, which follows from its place.
Members of the family differ in channels and blocks, and in whether blocks have a `pool`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from granu import WeightsError, shown
from granu_autoencoder.architecture import Architecture, Stage

Shape = tuple[int, ...]
Kind = Literal["clamp", "conv", "relu", "block", "upsample", "plain"]
LAYER = re.compile(r"(\d{1,4})\.(.+)")
KERNEL = (3, 3)


@dataclass(frozen=True)
class Layer:
    """One layer of a sequence; `conv` has a bias, `plain` is a convolution without one; `stride` is that of either."""

    kind: Kind
    channels_in: int = 0
    channels_out: int = 0
    stride: int = 1
    pool: int = 0  # channels inside a block's pool; 0 without one


@dataclass(frozen=True)
class TinyLayout:
    """Encoder and decoder of a TAESD; `activation` is that of its blocks, `upsampling` the mode of its upsampling."""

    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    activation: str = "relu"
    upsampling: str = "nearest"

    @property
    def stages(self) -> Sequence[tuple[int, int]]:
        """First and last layer (exclusive) of each stage of the decoder: all up to an upsampling or the last layer."""
        ends = [i for i, layer in enumerate(self.decoder) if layer.kind == "upsample"] + [len(self.decoder) - 1]
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def architecture(self, name: str) -> Architecture:
        """The shapes of images, latents and stages."""
        stages, scale = [], _scale(self.decoder)
        for i, (start, end) in enumerate(self.stages):
            scale = scale if i == 0 else scale // 2
            blocks = sum(layer.kind == "block" for layer in self.decoder[start:end])
            channels = next(x.channels_out for x in reversed(self.decoder[start:end]) if x.channels_out)
            stages.append(Stage(channels, scale, _summary(blocks, scale)))
        latent = self.encoder[-1].channels_out
        return Architecture(name, self.encoder[0].channels_in, latent, _scale(self.decoder), tuple(stages), "the code")


def read_layout(shapes: Mapping[str, Shape], activation: str = "relu", upsampling: str = "nearest") -> TinyLayout:
    """Read the layers from tensors named `encoder.N...` and `decoder.N...`. WeightsError if these are of no TAESD."""
    encoder = _encoder(_by_layer(shapes, "encoder"))
    decoder = _decoder(_by_layer(shapes, "decoder"))
    for name, layers in (("encoder", encoder), ("decoder", decoder)):
        _check_chain(layers, name)
    ends = (encoder[0].channels_in, encoder[-1].channels_out, _scale(encoder))
    if (decoder[-1].channels_out, decoder[1].channels_in, _scale(decoder)) != ends:
        raise WeightsError("its encoder and decoder do not fit together: take two files of the same name")
    return TinyLayout(encoder, decoder, activation, upsampling)


def _by_layer(shapes: Mapping[str, Shape], part: str) -> dict[int, dict[str, Shape]]:
    layers: dict[int, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        if not name.startswith(f"{part}."):
            continue
        match = LAYER.fullmatch(name.removeprefix(f"{part}."))
        if match is None:
            raise WeightsError(f"its {part} is no TAESD: there is a tensor {shown(name)}")
        layers.setdefault(int(match[1]), {})[match[2]] = shape
    if not layers:
        raise WeightsError(f"it holds no tensors of a TAESD's {part}")
    if max(layers) >= 2 * len(layers) + 2:  # no two layers without weights follow one another, but at the start
        raise WeightsError(f"its {part} is no TAESD: layers are missing before layer {max(layers)}")
    return layers


def _encoder(given: Mapping[int, Mapping[str, Shape]]) -> tuple[Layer, ...]:
    """Convolutions with a ReLU behind them, and those without a bias, halve the size."""
    layers = []
    for i in range(max(given) + 1):
        if i not in given:
            layers.append(Layer("relu"))
            continue
        halves = "bias" not in given[i] or (i + 1 not in given and i < max(given))
        layers.append(_layer(given[i], f"layer {i} of its encoder", stride=2 if halves else 1))
    return tuple(layers)


def _decoder(given: Mapping[int, Mapping[str, Shape]]) -> tuple[Layer, ...]:
    """The latent is clamped, and the size is doubled before each convolution without a bias."""
    layers = [Layer("clamp")]
    for i in range(1, max(given) + 1):
        if i in given:
            layers.append(_layer(given[i], f"layer {i} of its decoder"))
        else:
            upsamples = "weight" in given.get(i + 1, {}) and "bias" not in given.get(i + 1, {})
            layers.append(Layer("upsample" if upsamples else "relu"))
    if 0 in given or len(layers) < 3 or layers[1].kind != "conv" or layers[-1].kind != "conv":
        raise WeightsError("its decoder is no TAESD: it must be a clamp, a convolution, ..., a convolution")
    return tuple(layers)


def _layer(tensors: Mapping[str, Shape], where: str, stride: int = 1) -> Layer:
    first = tensors.get("weight", tensors.get("conv.0.weight", ()))
    if len(first) != 4 or first[2:] != KERNEL or 0 in first:
        raise WeightsError(f"{where} is no convolution of 3 x 3 and no block of them")
    channels_out, channels_in = first[:2]
    if "weight" in tensors:
        return Layer("conv" if "bias" in tensors else "plain", channels_in, channels_out, stride)
    pool = tensors.get("pool.0.weight", (0,))
    return Layer("block", channels_in, channels_out, pool=pool[0] if pool else 0)


def _check_chain(layers: Sequence[Layer], part: str) -> None:
    """WeightsError unless each layer takes the channels that the one before it gives."""
    weighted = [layer for layer in layers if layer.channels_out]
    for before, layer in pairwise(weighted):
        if before.channels_out != layer.channels_in:
            raise WeightsError(f"its {part} is no TAESD: {before.channels_out} channels meet {layer.channels_in}")
        if layer.kind == "block" and layer.channels_in != layer.channels_out:
            raise WeightsError(f"its {part} has a block of {layer.channels_in} to {layer.channels_out} channels")


def _scale(layers: Sequence[Layer]) -> int:
    return 2 ** sum(layer.kind == "upsample" or layer.stride == 2 for layer in layers)


def _summary(blocks: int, scale: int) -> str:
    count = "a block" if blocks == 1 else f"{blocks} blocks"
    return f"the output of {count} at {'the full size' if scale == 1 else f'1/{scale} of the size'}"
