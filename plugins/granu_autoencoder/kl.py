"""AutoencoderKL and VQModel of diffusers, with the decoder taken apart into its stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from granu import WeightsError, reason, without_broken_torchvision
from granu_autoencoder.kl_config import KL, BlockConfig


class BlockAutoencoder(nn.Module):
    """An autoencoder of diffusers; its tensors have the names of the published files."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        network = import_class(config.kind)(**config.arguments)
        self.encoder, self.decoder = network.encoder, network.decoder
        self.quant_conv, self.post_quant_conv = network.quant_conv, network.post_quant_conv
        self.quantize = None if config.kind == KL else network.quantize
        self.channels = config.code_channels
        self.conditioned = config.norm_type == "spatial"  # the norms of the decoder read the latent

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] -> latents (B, c, h, w): the mean of the posterior, or the quantized code."""
        code = self.encoder(2 * images - 1)
        if self.quant_conv is not None:
            code = self.quant_conv(code)
        if self.quantize is not None:
            return self.quantize(code)[0]
        return code[:, : self.channels]  # the other half is the logarithm of the variance

    def stage(self, number: int, x: Tensor, code: Tensor | None = None) -> Tensor:
        """The middle block (number 0) or an up block, behind the output of the one before it or the latent."""
        if number > 0:
            return self.decoder.up_blocks[number - 1](x, code)
        if self.post_quant_conv is not None:
            x = self.post_quant_conv(x)
        return self.decoder.mid_block(self.decoder.conv_in(x), code)

    def finish(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Images, about [0, 1], from the output of the last up block."""
        norm = self.decoder.conv_norm_out
        x = norm(x) if code is None else norm(x, code)
        return (self.decoder.conv_out(self.decoder.conv_act(x)) + 1) / 2

    def blocks(self) -> Iterator[nn.Module]:
        """The residual blocks and upsamplings of the decoder."""
        for block in (self.decoder.mid_block, *self.decoder.up_blocks):
            yield from block.resnets
            yield from getattr(block, "upsamplers", None) or ()


def import_class(kind: str) -> Any:
    """Import a class of diffusers, one of the two of `kl_config`. WeightsError if diffusers does not import."""
    try:
        with without_broken_torchvision():
            import diffusers

            return diffusers.AutoencoderKL if kind == KL else diffusers.VQModel  # which diffusers imports now
    except (ImportError, RuntimeError) as problem:
        raise WeightsError(
            f"an {kind} needs diffusers, which does not import ({reason(problem)}); install it with pip install "
            "'granu[diffusion]'"
        ) from problem
