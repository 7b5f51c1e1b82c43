"""A small world for tests: generators of 8 x 8 images of three classes, and classifiers for them.

Everything is computed from a seed in milliseconds, nothing is trained. The smallest L2 change of the linear classifier
is known in closed form, so that tests can compare searches with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from granu.images.classifier import ImageClassifier
from granu.images.ops import quantize
from granu.spaces.steps import Step, open_tail
from granu.streams import Streams
from granu.types import Batch, Latent, Site, Tail

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
        self.steps = (
            Step("layer0", ("z", "label"), lambda z, label: torch.tanh(torch.cat([z, label], dim=1) @ self.into)),
            Step("layer1", ("layer0",), lambda x: torch.tanh(x @ self.across)),
            Step("image", ("layer1",), lambda x: (0.5 + 0.5 * torch.tanh(x @ self.out)).view(-1, 1, SIDE, SIDE)),
        )

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

    def tail(self, latent: Latent, sites: Sequence[str]) -> Tail:
        assert isinstance(latent, TinyLatent)
        label = nn.functional.one_hot(latent.labels, len(CLASSES)).float()
        return open_tail(self.steps, {"z": latent.z, "label": label}, sites)


@dataclass
class TinyEncoding:
    """Coefficients of images."""

    z: Tensor  # (B, 64)
    labels: Tensor  # (B,)

    def select(self, index: Tensor) -> TinyEncoding:
        return TinyEncoding(self.z[index], self.labels[index])

    def tensors(self) -> Mapping[str, Tensor]:
        return {"z": self.z}


class TinyEncoder:
    """Encodes images as coefficients in an orthonormal basis, of which all but the first `kept` are lost.

    Sites z, pixels, image. With `classes`, the coefficients are those of what an image differs by from its class.
    """

    encoding = "exact"

    def __init__(self, kept: int = 60, classes: Sequence[str] = ()) -> None:
        self.kept, self.classes = kept, classes
        noise = torch.Generator().manual_seed(0)
        self.basis = torch.linalg.qr(torch.randn(SIDE * SIDE, SIDE * SIDE, generator=noise)).Q  # a row each
        self.middle = 0.4 + 0.2 * torch.rand(len(classes) + 1, SIDE * SIDE, generator=noise)  # the last for no class
        self.fingerprint = f"tiny-encoder-{kept}-{len(classes)}"
        self.steps = (
            Step("pixels", ("z", "middle"), lambda z, middle: middle + z @ self.basis),
            Step("image", ("pixels",), lambda x: x.view(-1, 1, SIDE, SIDE)),
        )

    def sites(self) -> Sequence[Site]:
        return (
            Site("z", (SIDE * SIDE,), "coefficients"),
            Site("pixels", (SIDE * SIDE,), "their sum"),
            Site("image", (1, SIDE, SIDE), "the image's pixels", scale="pixel"),
        )

    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> TinyEncoding:
        z = (images.flatten(1) - self.middle[labels]) @ self.basis.T
        return TinyEncoding(z * (torch.arange(SIDE * SIDE) < self.kept), labels)

    def restore(self, labels: Tensor, tensors: Mapping[str, Tensor]) -> TinyEncoding:
        return TinyEncoding(tensors["z"], labels)

    def tail(self, latent: Latent, sites: Sequence[str]) -> Tail:
        assert isinstance(latent, TinyEncoding)
        return open_tail(self.steps, {"z": latent.z, "middle": self.middle[latent.labels]}, sites)


def tiny_batch(count: int = 6, seed: int = 0, generator: TinyGenerator | None = None) -> Batch:
    """Draw `count` images, the classes in turn."""
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
    """Distances to the class means through a saturating function, so that the classifier is not linear."""
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
