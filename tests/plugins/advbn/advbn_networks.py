"""Small networks of different makes, and one step of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from granu import BuildContext, Defense, ImageClassifier, Streams, TrainingStep, load_catalog

SIDE = 8


class Plain(nn.Module):
    """Three blocks of convolution, batch normalisation and ReLU, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer1, self.layer2 = block(3, 6), block(6, 8), block(8, 10)
        self.fc = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer2(self.layer1(self.stem(x))).mean((2, 3)))


class Residual(nn.Module):
    """Shortcuts added in place, one ReLU for everything, functions between modules, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.deep1 = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.deep2 = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.relu, self.drop, self.fc = nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for deep in (self.deep1, self.deep2):
            out = deep(x)
            out += x
            x = self.relu(out)
        return self.fc(self.drop(x.mean((2, 3))))


class Dense(nn.Module):
    """Every layer reads what all before it gave, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, 4, 3, padding=1)) for n in (3, 7, 11)
        )
        self.fc = nn.Linear(15, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, dim=1)))
        return self.fc(torch.cat(features, dim=1).mean((2, 3)))


class Tokens(nn.Module):
    """A vision transformer in small: positions as a parameter, layer normalisation, tokens (B, T, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, stride=4)
        self.positions = nn.Parameter(torch.randn(1, 4, 12) / 10)
        self.blocks = nn.ModuleList(TokenBlock() for _ in range(2))
        self.norm, self.fc = nn.LayerNorm(12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        for inner in self.blocks:
            x = inner(x)
        return self.fc(self.norm(x).mean(1))


class TokenBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(12), nn.LayerNorm(12)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.perceptron = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))

    def forward(self, x: Tensor) -> Tensor:
        own = self.norm1(x)
        x = x + self.attention(own, own, own, need_weights=False)[0]
        return x + self.perceptron(self.norm2(x))


def block(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU())


def classifier_of(network: nn.Module, seed: int = 0, size: tuple[int, int] | None = (SIDE, SIDE)) -> ImageClassifier:
    """A classifier of three classes with random weights and random running statistics, in training mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            positive = name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight"))
            tensor.copy_(1 + noise.clamp(-2, 2) / 4 if positive else noise / max(1, tensor[0].numel()) ** 0.5)
    classifier = ImageClassifier(network, ("a", "b", "c"), size=size, mean=(0.5,), std=(0.25,), name="small")
    if isinstance(network, Plain | Residual | Dense | Tokens):
        _centre(classifier)
    return classifier.train()


@torch.no_grad()
def _centre(classifier: ImageClassifier) -> None:
    """Make logits of different images differ, around zero."""
    fc, images = classifier.network.fc, make_images(torch.Generator().manual_seed(1), 64)
    fc.weight *= 3 / classifier(images).std(dim=0)[:, None]
    fc.bias -= classifier(images).mean(dim=0)


def make_step(
    classifier: ImageClassifier, count: int = 12, number: int = 0, following: Sequence[Defense] = (), seed: int = 0
) -> TrainingStep:
    """A step with tinted images of noise."""
    generator = torch.Generator().manual_seed(seed + 1)
    images = make_images(generator, count)
    labels = torch.randint(3, (count,), generator=generator)
    streams = Streams(seed, [f"image#{i}" for i in range(count)], "train/0")
    return TrainingStep(classifier, images, labels, streams, number, 0.0, following)


def make_images(generator: torch.Generator, count: int) -> Tensor:
    """Noise of a colour and a contrast of each image's own, (count, 3, SIDE, SIDE)."""
    colour, contrast = (torch.rand(count, channels, 1, 1, generator=generator) for channels in (3, 1))
    noise = torch.rand(count, 3, SIDE, SIDE, generator=generator) - 0.5
    return ((colour + contrast * noise).clamp(0, 1) * 255).round() / 255


def defense(spec: str) -> Any:
    return BuildContext(load_catalog()).build("defense", spec)


def train(classifier: ImageClassifier, defense: Defense, steps: int = 3, rate: float = 0.1) -> None:
    """Some steps of gradient descent with momentum and weight decay, which moves whatever may move."""
    left = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(left, lr=rate, momentum=0.9, weight_decay=0.1)
    for number in range(steps):
        optimiser.zero_grad()
        defense.loss(make_step(classifier, number=number, seed=number)).backward()
        optimiser.step()
