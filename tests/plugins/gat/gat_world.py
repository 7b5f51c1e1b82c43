"""Source of the made-up plugin, and a network to train on its images."""

from __future__ import annotations

import torch
from torch import nn

from granu import ImageClassifier
from granu.testing import tiny

STYLED = '''
from dataclasses import dataclass

import granu
from granu.testing import tiny

MARK = []  # sizes of the batches that were encoded


@dataclass(frozen=True)
class Options:
    """Options of the generator."""
    weights: str = granu.option("none", "ignored")
    noise: bool = granu.option(True, "whether noise maps vary")
    names: str = granu.option("", "names of its three classes")
    side: int = granu.option(8, "side of its images")


@dataclass(frozen=True)
class Net:
    """Options of the network."""
    kind: str = granu.option("norm", "which", choices=("norm", "plain"))


def sites(options):
    return (
        granu.Site("style0", (8,), "a style", resolution=4),
        granu.Site("noise0", (1, 8, 8), "a noise map"),
        granu.Site("image", (1, options.side, options.side), "pixels", scale="pixel"),
    )


def make(options, context):
    import torch
    from torch.nn import functional as F

    @dataclass
    class Latent:
        labels: torch.Tensor
        style: torch.Tensor
        noise: torch.Tensor

        def select(self, index):
            return Latent(self.labels[index], self.style[index], self.noise[index])

        def tensors(self):
            return {"style": self.style, "noise": self.noise}

    class Styled:
        """An image is that of its class, plus eight coefficients of a basis, plus a noise map."""

        labels = range(3)
        encoding = "exact but for a tenth of the noise"
        fingerprint = f"styled-{options.noise}-{options.side}"
        fit = "pad"

        def __init__(self):
            self.classes = tuple(options.names.split("+")) if options.names else tiny.CLASSES
            draw = torch.Generator().manual_seed(0)
            self.basis = torch.linalg.qr(torch.randn(64, 64, generator=draw)).Q[:8]
            self.middle = 0.3 + 0.4 * torch.rand(3, 64, generator=draw)

        def sites(self):
            return sites(options)

        def draw(self, noise, labels):
            style, maps = noise.scope("style").normal(8), noise.scope("noise").normal(1, 8, 8)
            return Latent(labels, style, maps * options.noise)

        def encode(self, images, labels, noise):
            MARK.append(len(images))
            if (images.mean(dim=(1, 2, 3)) > 0.9).any():
                raise granu.DataError("an image is too bright")
            rest = images.flatten(1) - self.middle[labels]
            style = rest @ self.basis.T / 0.2
            left = (rest - 0.2 * style @ self.basis) / 0.05
            return Latent(labels, style, 0.9 * left.view(-1, 1, 8, 8))

        def restore(self, labels, tensors):
            return Latent(labels, tensors["style"], tensors["noise"])

        def tail(self, latent, names):
            pad = (options.side - 8) // 2

            def image(style, noise, middle):
                made = middle + 0.2 * style @ self.basis + 0.05 * noise.flatten(1)
                return F.pad(made.view(-1, 1, 8, 8), (pad,) * 4)

            steps = (
                granu.Step("style0", ("z",), lambda z: z),
                granu.Step("noise0", ("n",), lambda n: n),
                granu.Step("image", ("style0", "noise0", "middle"), image),
            )
            inputs = {"z": latent.style, "n": latent.noise, "middle": self.middle[latent.labels]}
            return granu.open_tail(steps, inputs, names)

    return Styled()


def network(config, context):
    from torch import nn

    middle = [nn.BatchNorm1d(16)] if config["kind"] == "norm" else []
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), *middle, nn.Tanh(), nn.Linear(16, 3))


def make_net(options, context):
    config = {"kind": options.kind}
    return granu.ImageClassifier(
        network(config, context), tiny.CLASSES, channels=1, size=(8, 8), fit="pad", name="net",
        architecture="gat-net", config=config,
    )


@granu.hookimpl
def granu_generators():
    return [granu.GeneratorOffer(
        name="styled", summary="a style and a noise map", options=Options, make=make,
        sites=lambda o, w: sites(o), weights=lambda o: o.weights, encodes=True,
    )]


@granu.hookimpl
def granu_classifiers():
    return [granu.ClassifierOffer(
        name="gat-net", summary="a small network", options=Net, target="kind", make=make_net, network=network,
    )]
'''


def small_network(*, normalised: bool = False, seed: int = 0) -> ImageClassifier:
    """Two layers, with or without batch normalisation between them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        between = [nn.BatchNorm1d(16)] if normalised else []
        layers = [nn.Flatten(), nn.Linear(64, 16), *between, nn.Tanh(), nn.Linear(16, 3)]
    return ImageClassifier(nn.Sequential(*layers), tiny.CLASSES, channels=1, size=(8, 8), fit="pad", name="small")
