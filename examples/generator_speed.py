"""Speed of our generators beside the original implementations' mathematics, and what resuming at a site saves.

The originals' mathematics is the same network with its layers computed as the original implementations do: StyleGAN2
modulates a set of weights for each image and convolves in groups; BigGAN takes a step of power iteration on every
weight at every pass, normalises before it scales and shifts, and upsamples before its 1 x 1 shortcut. The two are timed
alternately and the ratio of medians is printed, since a busy machine slows both alike. Then, for sites from early to
late, gradient passes per second through the tail, and their time as a share of a pass through the whole generator.

    python examples/generator_speed.py [--batch 8] [--rounds 5]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from granu import Streams
from granu_biggan.config import BigGANConfig, LayerPlan
from granu_biggan.generator import BigGANGenerator
from granu_biggan.network import BigGAN, ConditionalNorm, Residual, twice
from granu_stylegan.generator import StyleGANGenerator
from granu_stylegan.layout import list_sites
from granu_stylegan.stylegan2 import EPSILON, ModulatedConv, StyleGAN2, smooth

STYLEGAN = {
    "z_dim": 128, "c_dim": 0, "w_dim": 128, "img_resolution": 64, "img_channels": 3, "mapping_layers": 4,
    "channel_base": 4096, "channel_max": 128, "conv_clamp": None,
}  # fmt: skip
BIGGAN = BigGANConfig(
    z_dim=100,
    y_dim=64,
    classes=10,
    layers=(
        *(LayerPlan("residual", 256, 256, True), LayerPlan("residual", 256, 128, True)),
        *(LayerPlan("residual", 128, 64, True), LayerPlan("attention", 64, 64), LayerPlan("residual", 64, 32, True)),
    ),
    hierarchy="chunks",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    stylegan = StyleGAN2(**STYLEGAN).eval().requires_grad_(False)  # type: ignore[arg-type]
    biggan = BigGAN(BIGGAN).eval().requires_grad_(False)
    z = {"StyleGAN2": torch.randn(arguments.batch, 128), "BigGAN": torch.randn(arguments.batch, 100)}
    labels = torch.arange(arguments.batch) % 10
    ours = {"StyleGAN2": lambda z: stylegan(z), "BigGAN": lambda z: biggan(z, labels)}
    as_original, normalised = as_stylegan2_original(stylegan), as_biggan_original(biggan)
    theirs = {"StyleGAN2": lambda z: as_original(z), "BigGAN": lambda z: normalised(z, labels)}

    print(f"{'64 x 64 pixels, batch of ' + str(arguments.batch):28} {'forward':>16} {'forward and back':>17}")
    for name in ours:
        ratios = [compare(ours[name], theirs[name], z[name], arguments.rounds, back) for back in (False, True)]
        print(f"{name + ', ours / original':28} {ratios[0]:16.2f} {ratios[1]:17.2f}", flush=True)

    print(f"\n{'starting at':28} {'passes per second':>16} {'share of a whole':>17}")
    generators = {
        "StyleGAN2": StyleGANGenerator(stylegan, list_sites(STYLEGAN), (), 1.0, ""),
        "BigGAN": BigGANGenerator(biggan, tuple("0123456789"), range(10), 1.0, ""),
    }
    sites = {"StyleGAN2": ("w", "layer2", "layer5", "layer8"), "BigGAN": ("z", "layer0", "layer2", "layer4")}
    for name, generator in generators.items():
        streams = Streams(0, [str(i) for i in range(arguments.batch)])
        latent = generator.draw(streams, labels if name == "BigGAN" else None)
        whole = None
        for site in sites[name]:
            tail = generator.tail(latent, [site])  # type: ignore[arg-type]
            edit = torch.zeros_like(tail.clean[site])
            spent = median(lambda: gradient(lambda x: tail({site: x}), edit), arguments.rounds)  # noqa: B023
            whole = whole or spent
            print(f"{name + ' ' + site:28} {arguments.batch / spent:16.1f} {spent / whole:17.2f}", flush=True)


def compare(ours: Callable, theirs: Callable, z: Tensor, rounds: int, back: bool) -> float:
    """Median seconds of ours over theirs, measured alternately."""
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for network, times in zip((ours, theirs), spent, strict=True):
            start = time.perf_counter()
            gradient(network, z) if back else network(z)
            if number:  # the first round warms up
                times.append(time.perf_counter() - start)
    return statistics.median(spent[0]) / statistics.median(spent[1])


def gradient(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(network(x).square().sum(), x)[0]


def median(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def as_stylegan2_original(network: StyleGAN2) -> StyleGAN2:
    """The same network with weights modulated image by image, as in the fused path of the original."""
    network = copy.deepcopy(network)
    for layer in network.layers:
        layer.__class__ = GroupedConv
    return network


class GroupedConv(ModulatedConv):
    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        B, C, h, w = x.shape
        weight = self.weight[None] * style[:, None, :, None, None]  # (B, C_out, C, 3, 3)
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + EPSILON).rsqrt()
        x = x.reshape(1, B * C, h, w)
        if self.grow:
            x = F.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=B)
            x = smooth(x.reshape(B, -1, *x.shape[2:]), 4 * self.resample_filter)
        else:
            x = F.conv2d(x, weight.flatten(0, 1), padding=1, groups=B)
            x = x.reshape(B, -1, *x.shape[2:])
        if noise is not None:
            x = x + noise * self.noise_strength
        x = F.leaky_relu(x + self.bias[:, None, None], 0.2) * 2**0.5
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


def as_biggan_original(network: BigGAN) -> BigGAN:
    """The same network with spectral norm computed at every pass, plain norms, and shortcuts that upsample first."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        if isinstance(module, ConditionalNorm):
            module.__class__ = PlainNorm
        elif isinstance(module, Residual):
            module.__class__ = UpsamplesFirst
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            torch.nn.utils.parametrizations.spectral_norm(module)
            # the parametrisation iterates in training mode alone, the original at every pass
            module.parametrizations.weight.train()
    return network


class PlainNorm(ConditionalNorm):
    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = F.batch_norm(x, self.mean, self.variance, eps=self.epsilon)
        return x * (1 + self.gain(condition))[:, :, None, None] + self.bias(condition)[:, :, None, None]


class UpsamplesFirst(Residual):
    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = F.relu(self.norms[0](x, condition))
        h = self.convs[0](twice(h) if self.grow else h)
        h = self.convs[1](F.relu(self.norms[1](h, condition)))
        return h + self.shortcut(twice(x) if self.grow else x)


if __name__ == "__main__":
    main()
