"""The zoo's classifiers: small networks of different architectures, so that their errors differ.

All map images (B, channels, 32, 32) in [0, 1] to logits (B, classes).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from granu_zoo.resnet18 import ResNet18

__all__ = ["NETWORKS", "Cnn", "ColourResNet", "LargeKernel", "LeNet", "Mixer", "ResNet"]


class Cnn(nn.Module):
    """Three convolutions and two fully connected layers, no normalisation."""

    def __init__(self, width: int = 24, hidden: int = 128, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),  # (B, width, 16, 16)
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),  # (B, 2 width, 8, 8)
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, 2 width, 4, 4)
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(2 * width * 16, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


class LeNet(nn.Module):
    """Two convolutions at full and half size and three fully connected layers (after LeCun et al. 1998)."""

    def __init__(self, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, 6, 16, 16)
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, 16, 6, 6)
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(576, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


class ResNet(nn.Module):
    """Three residual blocks with batch normalisation and a mean over the image (after He et al. 2016)."""

    def __init__(self, width: int = 16, classes: int = 10, channels: int = 1, stride: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            Residual(width, width, 1), Residual(width, 2 * width, 2), Residual(2 * width, 4 * width, 2)
        )
        self.head = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(self.stem(images))  # (B, 4 width, 8 / stride, 8 / stride)
        return self.head(x.mean(dim=(2, 3)))


class ColourResNet(ResNet):
    """A residual network for colour images, which keep their full size through the first block."""

    def __init__(self, width: int = 32, classes: int = 10, channels: int = 3) -> None:
        super().__init__(width, classes, channels, stride=1)


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, which is a 1 x 1 convolution if the shape changes."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        same = n_in == n_out and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.deep(x) + self.skip(x))


class Mixer(nn.Module):
    """Patches of 4 x 4 pixels, mixed over positions and channels in turn, no convolution (Tolstikhin et al. 2021)."""

    def __init__(self, width: int = 64, depth: int = 3, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.embed = nn.Linear(16 * channels, width)
        self.blocks = nn.Sequential(*(MixerBlock(64, width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        patches = F.pixel_unshuffle(images, 4)  # (B, 16 channels, 8, 8)
        x = self.embed(patches.flatten(2).transpose(1, 2))  # (B, 64, width)
        return self.head(self.norm(self.blocks(x)).mean(dim=1))


class MixerBlock(nn.Module):
    """A perceptron over the positions of each channel, then one over the channels of each position."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.norm_places, self.norm_channels = nn.LayerNorm(width), nn.LayerNorm(width)
        self.places = nn.Sequential(nn.Linear(places, places), nn.GELU(), nn.Linear(places, places))
        self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.places(self.norm_places(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm_channels(x))


class LargeKernel(nn.Module):
    """Convolutions of 9 x 9, 5 x 5 and 3 x 3 with smooth activations, and a linear output layer."""

    def __init__(self, width: int = 24, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 9, stride=2, padding=4),  # (B, width, 16, 16)
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 5, stride=2, padding=2),  # (B, 2 width, 8, 8)
            nn.SiLU(),
            nn.AvgPool2d(2),  # (B, 2 width, 4, 4)
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.SiLU(),
        )
        self.head = nn.Linear(4 * width * 16, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).flatten(1))


NETWORKS: Mapping[str, type[nn.Module]] = {
    "mnist-cnn": Cnn,
    "mnist-lenet": LeNet,
    "mnist-resnet": ResNet,
    "mnist-mixer": Mixer,
    "mnist-large-kernel": LargeKernel,
    "cifar10-resnet": ColourResNet,
    "cifar-resnet18": ResNet18,
}
