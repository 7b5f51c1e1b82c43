"""A small world from a seed: three classes of 8 x 8 images, a generator that draws them, classifiers that know them.

Everything is made, nothing is trained, and it takes milliseconds. The linear classifier's smallest L2 change is
known in closed form, which is what tests hold searches to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from granu.images.classifier import ImageClassifier
from granu.images.ops import quantize
from granu.streams import Streams
from granu.types import Batch, Latent, Site

CLASSES = ("disc", "bar", "cross")
SIDE = 8


@dataclass
class TinyLatent:
    """A class and four numbers per image."""

    z: Tensor  # (B, 4)
    labels: Tensor  # (B,)

    def select(self, index: Tensor) -> TinyLatent:
        return TinyLatent(self.z[index], self.labels[index])


class TinyGenerator:
    """Two tanh layers above (z, class); sites z, layer0, layer1, image."""

    classes = CLASSES
    labels = range(len(CLASSES))
    fingerprint = "tiny-1"

    def __init__(self, seed: int = 0) -> None:
        noise = torch.Generator().manual_seed(seed)
        self.into = torch.randn(4 + len(CLASSES), 16, generator=noise) * torch.tensor([0.3] * 4 + [2.0] * 3)[:, None]
        self.across = torch.randn(16, 32, generator=noise) / 4
        self.out = torch.randn(32, SIDE * SIDE, generator=noise) / 4

    def sites(self) -> Sequence[Site]:
        return (
            Site("z", (4,), "four standard normal numbers"),
            Site("layer0", (16,), "after the first layer"),
            Site("layer1", (32,), "after the second layer"),
            Site("image", (1, SIDE, SIDE), "the image's pixels", scale="pixel"),
        )

    def draw(self, noise: Streams, labels: Tensor | None) -> TinyLatent:
        assert labels is not None
        return TinyLatent(noise.normal(4), labels)

    def tail(self, latent: Latent, sites: Sequence[str]) -> TinyTail:
        assert isinstance(latent, TinyLatent)
        return TinyTail(self, latent, tuple(sites))


class TinyTail:
    """Computes once what lies before the first site."""

    def __init__(self, generator: TinyGenerator, latent: TinyLatent, names: tuple[str, ...]) -> None:
        self.generator, self.latent, self.names = generator, latent, names
        walk = self._walk({})
        self.clean: Mapping[str, Tensor] = {name: walk[name] for name in names}

    def __call__(self, edits: Mapping[str, Tensor]) -> Tensor:
        return self._walk(edits)["image"]

    def select(self, index: Tensor) -> TinyTail:
        return TinyTail(self.generator, self.latent.select(index), self.names)

    def _walk(self, edits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        here = self.generator
        x = self.latent.z + edits.get("z", 0)
        passed = {"z": x}
        x = torch.cat([x, nn.functional.one_hot(self.latent.labels, len(CLASSES)).float()], dim=1)
        x = torch.tanh(x @ here.into) + edits.get("layer0", 0)
        passed["layer0"] = x
        x = torch.tanh(x @ here.across) + edits.get("layer1", 0)
        passed["layer1"] = x
        x = (0.5 + 0.5 * torch.tanh(x @ here.out)).view(-1, 1, SIDE, SIDE) + edits.get("image", 0)
        passed["image"] = x
        return passed


def tiny_batch(count: int = 6, seed: int = 0, generator: TinyGenerator | None = None) -> Batch:
    """`count` images, the classes in turn."""
    generator = generator or TinyGenerator()
    ids = tuple(f"tiny#{i}" for i in range(count))
    latent = generator.draw(Streams(seed, ids, "draw"), torch.arange(count) % len(CLASSES))
    return Batch(quantize(generator.tail(latent, ["image"])({})), latent.labels, ids, latent)


def tiny_linear_classifier(seed: int = 0) -> ImageClassifier:
    """Nearest class mean, which is linear in the pixels."""
    means = _class_means(seed)
    linear = nn.Linear(SIDE * SIDE, len(CLASSES))
    linear.load_state_dict({"weight": 2 * means, "bias": -means.square().sum(dim=1)})
    network = nn.Sequential(nn.Flatten(), linear)
    return ImageClassifier(network, CLASSES, channels=1, size=(SIDE, SIDE), name="tiny-linear")


def tiny_bent_classifier(seed: int = 0) -> ImageClassifier:
    """The distances to the class means through a bend, so that nothing is linear."""
    return ImageClassifier(_Bent(_class_means(seed)), CLASSES, channels=1, size=(SIDE, SIDE), name="tiny-bent")


class _Bent(nn.Module):
    means: Tensor

    def __init__(self, means: Tensor) -> None:
        super().__init__()
        self.register_buffer("means", means)

    def forward(self, x: Tensor) -> Tensor:
        squares = (x.flatten(1)[:, None] - self.means).square()
        return -5 * (squares / (0.2 + squares)).sum(dim=2)


def _class_means(seed: int) -> Tensor:
    batch = tiny_batch(300, seed=seed + 1)
    return torch.stack([batch.images[batch.labels == k].flatten(1).mean(dim=0) for k in range(len(CLASSES))])
