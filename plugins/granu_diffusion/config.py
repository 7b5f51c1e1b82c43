"""The configuration of a diffusion model: its networks, schedule, sizes and classes; plain data without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from granu import WeightsError, imagenet_classes, shown
from granu_diffusion import values
from granu_diffusion.schedule import Schedule, read_schedule

LARGEST_SIZE = 4096  # pixels, of a side
MOST_CHANNELS = 4096
MOST_CLASSES = 100_000
IMAGENET = 1000

# part of a pipeline -> classes of diffusers that it may have, the default first
NETWORKS = {"unet": ("UNet2DModel", "UNet2DConditionModel"), "transformer": ("DiTTransformer2DModel",)}
AUTOENCODERS = {"vae": ("AutoencoderKL",), "vqvae": ("VQModel", "AutoencoderKL")}
ALIASES = {"Transformer2DModel": "DiTTransformer2DModel"}  # the class that DiT's files name
# further inputs of UNet2DConditionModel, which other pipelines give it
OTHER_INPUTS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type",
                "time_cond_proj_dim")  # fmt: skip
SIGNAL = (1, 3)  # channels of images


@dataclass(frozen=True)
class Part:
    """A network of a pipeline: the class of diffusers that builds it, and the arguments of that class."""

    name: str
    kind: str
    config: Mapping[str, Any]
    where: str  # for messages


@dataclass(frozen=True)
class PipelineConfig:
    """A denoising network, its schedule, and the autoencoder whose latents it denoises, if there is one.

    `classes` are the names that the file gives; a number stands for each class where it gives none.
    """

    network: Part
    schedule: Schedule
    autoencoder: Part | None = None
    classes: tuple[str, ...] = ()

    @property
    def text_conditioned(self) -> bool:
        return self.network.kind == "UNet2DConditionModel"

    @cached_property
    def state_shape(self) -> tuple[int, int, int]:
        """The shape of a noisy image, or of a latent."""
        network = self.network
        channels = values.whole(
            network.config, "in_channels", _default_channels(network), 1, MOST_CHANNELS, network.where
        )
        size = values.sizes(network.config, "sample_size", _default_size(network), LARGEST_SIZE, network.where)
        return (channels, *size)

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of an image."""
        if self.autoencoder is None:
            return self.state_shape
        config, where = self.autoencoder.config, self.autoencoder.where
        factor = 2 ** (len(values.widths(config, "block_out_channels", (64,), where)) - 1)
        _, height, width = self.state_shape
        return values.whole(config, "out_channels", 3, 1, MOST_CHANNELS, where), height * factor, width * factor

    @cached_property
    def middle_shape(self) -> tuple[int, ...] | None:
        """The shape of the middle block's output; None where the network has no such block."""
        config, where = self.network.config, self.network.where
        _, height, width = self.state_shape
        if self.network.kind == "DiTTransformer2DModel":
            patch = values.whole(config, "patch_size", 2, 1, 64, where)
            heads = values.whole(config, "num_attention_heads", 16, 1, 1 << 10, where)
            dimension = values.whole(config, "attention_head_dim", 72, 1, 1 << 14, where)
            return (height // patch) * (width // patch), heads * dimension
        if config.get("mid_block_type", "a block") is None:
            return None
        channels = self._widths
        return channels[-1], height >> len(channels) - 1, width >> len(channels) - 1

    @cached_property
    def embedded_classes(self) -> int:
        """The number of classes of the network, an empty one among them; 0 where it is unconditional."""
        config, where = self.network.config, self.network.where
        if self.network.kind == "DiTTransformer2DModel":
            return values.whole(config, "num_embeds_ada_norm", 1000, 1, MOST_CLASSES, where) + 1
        if self.text_conditioned:
            return 0
        return values.optional_whole(config, "num_class_embeds", 1, MOST_CLASSES, where) or 0

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that can be drawn, without the empty one; synonyms are joined by commas."""
        if self.classes or not self.embedded_classes:
            return self.classes
        count = self.embedded_classes - (self.network.kind == "DiTTransformer2DModel")
        if count == IMAGENET:
            return tuple(", ".join(synonyms) for synonyms in imagenet_classes().values())
        return tuple(map(str, range(count)))

    @property
    def empty_class(self) -> int | None:
        """The class that stands for none, for guidance; None where the network has no such class."""
        count = len(self.class_names)
        return count if count and count == self.embedded_classes - 1 else None

    @property
    def _widths(self) -> tuple[int, ...]:
        default = (320, 640, 1280, 1280) if self.text_conditioned else (224, 448, 672, 896)
        return values.widths(self.network.config, "block_out_channels", default, self.network.where)

    def check(self) -> None:
        """WeightsError where the parts do not fit one another."""
        self._check_sizes()
        self._check_autoencoder()
        self._check_classes()
        _check_inputs(self.network)
        self._check_outputs()
        if self.image_shape[0] not in SIGNAL:
            raise WeightsError(f"{self.network.where}: images have {self.image_shape[0]} channels, neither 1 nor 3")

    def _check_outputs(self) -> None:
        config, where, channels = self.network.config, self.network.where, self.state_shape[0]
        if self.network.kind == "DiTTransformer2DModel" and config.get("out_channels") is None:
            return  # as many as it takes
        outputs = values.whole(config, "out_channels", _default_channels(self.network), 1, 2 * MOST_CHANNELS, where)
        if outputs not in (channels, 2 * channels):
            raise WeightsError(
                f"{where}: the network takes {channels} channels and gives {outputs}; one that denoises gives as many, "
                "or twice as many with variances"
            )

    def _check_sizes(self) -> None:
        where = self.network.where
        _, height, width = self.state_shape
        if self.network.kind == "DiTTransformer2DModel":
            factor = values.whole(self.network.config, "patch_size", 2, 1, 64, where)
            if height != width:
                raise WeightsError(f"{where}: a DiT denoises squares, not {height} x {width}")
        else:
            factor = 1 << len(self._widths) - 1
        if height % factor or width % factor:
            raise WeightsError(
                f"{where}: sample_size {height} x {width} is no multiple of {factor}, by which the network reduces it"
            )

    def _check_autoencoder(self) -> None:
        if self.autoencoder is None:
            return
        config, where = self.autoencoder.config, self.autoencoder.where
        default = 4 if self.autoencoder.kind == "AutoencoderKL" else 3
        latent = values.whole(config, "latent_channels", default, 1, MOST_CHANNELS, where)
        channels = values.optional_whole(config, "vq_embed_dim", 1, MOST_CHANNELS, where) or latent
        if channels != self.state_shape[0]:
            raise WeightsError(
                f"{where}: the autoencoder's latents have {channels} channels, the network takes {self.state_shape[0]}"
            )

    def _check_classes(self) -> None:
        named, known = len(self.classes), self.embedded_classes
        if not named or named in (known, known - 1):
            return
        what = f"a network of {known}" if known else "an unconditional network"
        raise WeightsError(f"{self.network.where}: {named} classes are named for {what}")


def read_part(name: str, config: Mapping[str, Any], where: str) -> Part:
    """A network's configuration. WeightsError if granu does not know its class."""
    known = {**NETWORKS, **AUTOENCODERS}[name]
    kind = config.get("_class_name", known[0])
    kind = ALIASES.get(kind, kind) if isinstance(kind, str) else kind
    if kind not in known:
        raise WeightsError(f"{where}: the {name} is a {shown(kind)}; granu opens {' and '.join(known)}")
    return Part(name, kind, config, where)


def read_config(
    parts: Mapping[str, Mapping[str, Any]], where: Mapping[str, str], classes: tuple[str, ...] = ()
) -> PipelineConfig:
    """Read the configurations of all parts by name, the scheduler's among them; `where` is each one's place.

    WeightsError if they do not make a diffusion model that granu knows.
    """
    network = next(name for name in NETWORKS if name in parts)
    autoencoder = next((name for name in AUTOENCODERS if name in parts), None)
    config = PipelineConfig(
        read_part(network, parts[network], where[network]),
        read_schedule(parts["scheduler"], where["scheduler"]),
        None if autoencoder is None else read_part(autoencoder, parts[autoencoder], where[autoencoder]),
        classes,
    )
    config.check()
    return config


def _check_inputs(network: Part) -> None:
    config = network.config
    if network.kind == "UNet2DModel":
        if config.get("time_embedding_type", "positional") == "fourier":
            raise WeightsError(
                f"{network.where}: a network of continuous noise levels (fourier) has no timesteps for DDIM"
            )
        if config.get("class_embed_type") is not None:
            raise WeightsError(f"{network.where}: class_embed_type is not supported, only num_class_embeds")
    if network.kind == "UNet2DConditionModel":
        for key in OTHER_INPUTS:
            if config.get(key) is not None:
                raise WeightsError(
                    f"{network.where}: the network needs a further input ({key}), which granu does not give"
                )


def _default_channels(network: Part) -> int:
    return 3 if network.kind == "UNet2DModel" else 4


def _default_size(network: Part) -> int | None:
    return 32 if network.kind == "DiTTransformer2DModel" else None
