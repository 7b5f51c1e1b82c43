"""The configuration of diffusers' AutoencoderKL and VQModel, checked field by field; without torch.

Nothing in a config.json is passed on but numbers, flags and names from the lists here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from granu import WeightsError, shown
from granu_autoencoder.architecture import Architecture, Stage

Shape = tuple[int, ...]
KL, VQ = "AutoencoderKL", "VQModel"
DOWN = ("DownEncoderBlock2D", "AttnDownEncoderBlock2D")
UP = ("UpDecoderBlock2D", "AttnUpDecoderBlock2D")
ACTIVATIONS = ("silu", "swish", "mish", "gelu", "relu")
NORMS = ("group", "spatial")
MOST_CHANNELS, MOST_BLOCKS, MOST_CODES = 1 << 14, 16, 1 << 20


@dataclass(frozen=True)
class BlockConfig:
    """Configuration of an AutoencoderKL or VQModel; names and defaults are those of diffusers."""

    kind: str  # KL or VQ
    in_channels: int
    latent_channels: int
    block_out_channels: tuple[int, ...]
    down_block_types: tuple[str, ...]
    up_block_types: tuple[str, ...]
    layers_per_block: int
    norm_num_groups: int
    act_fn: str
    mid_block_add_attention: bool
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    num_vq_embeddings: int = 0
    vq_embed_dim: int = 0
    norm_type: str = "group"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the class in diffusers."""
        shared = {
            "in_channels": self.in_channels,
            "out_channels": self.in_channels,
            "latent_channels": self.latent_channels,
            "block_out_channels": self.block_out_channels,
            "down_block_types": self.down_block_types,
            "up_block_types": self.up_block_types,
            "layers_per_block": self.layers_per_block,
            "norm_num_groups": self.norm_num_groups,
            "act_fn": self.act_fn,
            "mid_block_add_attention": self.mid_block_add_attention,
        }
        if self.kind == KL:
            own: dict[str, Any] = {
                "use_quant_conv": self.use_quant_conv,
                "use_post_quant_conv": self.use_post_quant_conv,
            }
        else:
            own = {
                "num_vq_embeddings": self.num_vq_embeddings,
                "vq_embed_dim": self.vq_embed_dim,
                "norm_type": self.norm_type,
            }
        return {**shared, **own}

    @property
    def architecture(self) -> Architecture:
        """The shapes of images, latents and stages."""
        scale = 2 ** (len(self.block_out_channels) - 1)
        stages = [Stage(self.block_out_channels[-1], scale, "the output of the middle block")]
        for i, channels in enumerate(reversed(self.block_out_channels)):
            scale = max(1, scale // 2)
            stages.append(Stage(channels, scale, f"the output of up block {i}{_place(scale)}"))
        latent = "the mean of the posterior" if self.kind == KL else "the quantized code (edits are not quantized)"
        return Architecture(self.kind, self.in_channels, self.code_channels, stages[0].scale, tuple(stages), latent)

    @property
    def code_channels(self) -> int:
        """Channels of what the decoder is given: of a VQModel, those of the codebook."""
        return self.vq_embed_dim if self.kind == VQ else self.latent_channels

    def some_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Tensors whose shapes the sites follow from; all others are compared when the network is built."""
        first, last, latent = self.block_out_channels[0], self.block_out_channels[-1], self.latent_channels
        yield "encoder.conv_in.weight", (first, self.in_channels, 3, 3)
        yield "encoder.conv_out.weight", (latent * (2 if self.kind == KL else 1), last, 3, 3)
        yield "decoder.conv_in.weight", (last, latent, 3, 3)
        yield "decoder.conv_out.weight", (self.in_channels, first, 3, 3)
        before = last
        for i, channels in enumerate(reversed(self.block_out_channels)):
            yield f"decoder.up_blocks.{i}.resnets.0.conv1.weight", (channels, before, 3, 3)
            if i < len(self.block_out_channels) - 1:
                yield f"decoder.up_blocks.{i}.upsamplers.0.conv.weight", (channels, channels, 3, 3)
            before = channels
        if self.kind == VQ:
            yield "quantize.embedding.weight", (self.num_vq_embeddings, self.vq_embed_dim)


def read_block_config(given: Mapping[str, Any], kind: str) -> BlockConfig:
    """Read a config.json. WeightsError if a field is of another type, out of range or not in its list."""
    read = _Fields(given)
    channels = read.whole("in_channels", 3)
    if read.whole("out_channels", 3) != channels:
        raise WeightsError("its images have another number of channels than its reconstructions")
    widths = read.numbers("block_out_channels", (64,))
    latent = read.whole("latent_channels", 4 if kind == KL else 3)
    config = BlockConfig(
        kind=kind,
        in_channels=channels,
        latent_channels=latent,
        block_out_channels=widths,
        down_block_types=read.names("down_block_types", DOWN),
        up_block_types=read.names("up_block_types", UP),
        layers_per_block=read.whole("layers_per_block", 1, MOST_BLOCKS),
        norm_num_groups=read.whole("norm_num_groups", 32),
        act_fn=read.name("act_fn", ACTIVATIONS),
        mid_block_add_attention=read.flag("mid_block_add_attention"),
        use_quant_conv=kind == VQ or read.flag("use_quant_conv"),
        use_post_quant_conv=kind == VQ or read.flag("use_post_quant_conv"),
        num_vq_embeddings=read.whole("num_vq_embeddings", 256, MOST_CODES) if kind == VQ else 0,
        vq_embed_dim=read.whole("vq_embed_dim", latent) if kind == VQ else 0,
        norm_type=read.name("norm_type", NORMS) if kind == VQ else "group",
    )
    if not len(widths) == len(config.down_block_types) == len(config.up_block_types):
        raise WeightsError("it lists different numbers of block_out_channels, down_block_types and up_block_types")
    if config.norm_type == "spatial" and config.vq_embed_dim != latent:
        raise WeightsError(f"its spatial norms read {latent} latent channels, and its codebook has {config.vq_embed_dim}")
    return config


class _Fields:
    """Fields of a config.json, one after the other; null counts as absent."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given

    def whole(self, key: str, default: int, most: int = MOST_CHANNELS) -> int:
        value = self._get(key, default)
        if type(value) is not int or not 1 <= value <= most:
            raise _bad(key, value, f"a whole number from 1 to {most}")
        return value

    def numbers(self, key: str, default: Sequence[int]) -> tuple[int, ...]:
        values = self._list(key, default)
        return tuple(_Fields({key: value}).whole(key, 0) for value in values)

    def flag(self, key: str) -> bool:
        value = self._get(key, True)
        if type(value) is not bool:
            raise _bad(key, value, "true or false")
        return value

    def name(self, key: str, known: Sequence[str]) -> str:
        value = self._get(key, known[0])
        if not isinstance(value, str) or value not in known:
            raise _bad(key, value, f"one of {', '.join(known)}")
        return value

    def names(self, key: str, known: Sequence[str]) -> tuple[str, ...]:
        return tuple(_Fields({key: value}).name(key, known) for value in self._list(key, known[:1]))

    def _list(self, key: str, default: Sequence[Any]) -> Sequence[Any]:
        values = self._get(key, list(default))
        if not isinstance(values, list) or not 1 <= len(values) <= MOST_BLOCKS:
            raise _bad(key, values, f"a list of 1 to {MOST_BLOCKS}")
        return values

    def _get(self, key: str, default: Any) -> Any:
        value = self.given.get(key)
        return default if value is None else value


def _bad(key: str, value: Any, right: str) -> WeightsError:
    return WeightsError(f"its {key} is {shown(value)}, not {right}")


def _place(scale: int) -> str:
    return " at the full size" if scale == 1 else f", upsampled to 1/{scale} of the size"
