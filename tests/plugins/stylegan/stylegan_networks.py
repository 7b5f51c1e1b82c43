"""Small StyleGANs with random weights."""

import torch

from granu_stylegan.generator import StyleGANGenerator
from granu_stylegan.layout import list_sites, list_stylegan3_sites
from granu_stylegan.stylegan2 import StyleGAN2
from granu_stylegan.stylegan3 import StyleGAN3
from granu_stylegan.stylegan3_config import StyleGAN3Config


def make_stylegan2(classes: int = 0, colours: int = 1) -> StyleGANGenerator:
    """A StyleGAN2 of 8 x 8 images with three layers."""
    config = {
        "z_dim": 6, "c_dim": classes, "w_dim": 8, "img_resolution": 8, "img_channels": colours, "mapping_layers": 2,
        "channel_base": 64, "channel_max": 8, "conv_clamp": None,
    }  # fmt: skip
    torch.manual_seed(0)
    network = StyleGAN2(**config)  # type: ignore[arg-type]
    for layer in network.layers:
        torch.nn.init.constant_(layer.noise_strength, 0.1)
    for block in network.blocks:  # so that images lie within [0, 1]
        torch.nn.init.normal_(block.torgb.weight, std=0.3)
    return StyleGANGenerator(network.eval(), list_sites(config), tuple("abc"[:classes]), 0.9, "tiny")


def make_stylegan3() -> StyleGANGenerator:
    """A StyleGAN3 of 16 x 16 images without classes."""
    config = StyleGAN3Config(
        z_dim=6, c_dim=0, w_dim=8, img_resolution=16, img_channels=1, mapping_layers=2, channel_base=64,
        channel_max=8, num_layers=3, num_critical=1, margin_size=2,
    )  # fmt: skip
    torch.manual_seed(0)
    network = StyleGAN3(config).eval()
    torch.nn.init.normal_(network.get_parameter("synthesis.input.affine.weight"), std=0.3)  # 0 before any training
    return StyleGANGenerator(network, list_stylegan3_sites(config), (), 0.9, "tiny")
