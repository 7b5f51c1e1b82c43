"""A small classifier of CIFAR-10 for comparisons: trains one in some minutes on one thread, and opens it for granu.

    python examples/cifar10_network.py cifar10-train.parquet cifar10-test.parquet
    granu eval --classifier python:examples/cifar10_network.py:build,size=32 --data parquet:cifar10-test.parquet \
        --perturb sparse-pixel

Four convolutions, 0.2 million parameters, 4 epochs of 25,000 pictures with flips; weights go to
`cifar10-network.safetensors` in the present folder, where `build` looks for them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

WEIGHTS = Path("cifar10-network.safetensors")
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PICTURES, EPOCHS, BATCH, RATE = 25_000, 4, 128, 0.2


class Network(nn.Module):
    """Pictures (B, 3, H, W) in [0, 1] to ten logits."""

    classes = NAMES

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *block(3, 32),
            *block(32, 48),
            nn.MaxPool2d(2),
            *block(48, 96),
            nn.MaxPool2d(2),
            *block(96, 128),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(128, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers((images - 0.47) / 0.25)


def block(into: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def build() -> Network:
    """The trained network, for `python:examples/cifar10_network.py:build`."""
    network = Network()
    network.load_state_dict(load_file(WEIGHTS))
    return network


def main(train_file: str, test_file: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = Network()
    train(network, *read(train_file, PICTURES))
    images, labels = read(test_file, None)
    network.eval()
    with torch.no_grad():
        right = sum(
            int((network(x).argmax(1) == y).sum()) for x, y in zip(images.split(500), labels.split(500), strict=True)
        )
    print(f"{100 * right / len(labels):.1f} % of {len(labels)} test pictures named right")
    save_file(network.state_dict(), WEIGHTS)


def read(file: str, count: int | None) -> tuple[Tensor, Tensor]:
    """The pictures (N, 3, 32, 32) and labels (N,) of a parquet file; of `count` spread over it, where one is given."""
    from granu.catalog import load_catalog
    from granu.workshop import Workshop

    data = Workshop(load_catalog()).build("dataset", f"parquet:{file}")
    step = 1 if count is None else max(1, len(data) // count)
    rows = [data.read(index) for index in range(0, len(data), step)]
    return torch.stack([image for image, _ in rows]), torch.tensor([label for _, label in rows])


def train(network: Network, images: Tensor, labels: Tensor) -> None:
    """Stochastic gradient descent with momentum, one cycle of the learning rate, pictures flipped at random."""
    steps = EPOCHS * (len(images) // BATCH)
    descent = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(descent, RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        for index in torch.randperm(len(images)).split(BATCH)[: steps // EPOCHS]:
            flipped = torch.where(torch.rand(len(index), 1, 1, 1) < 0.5, images[index].flip(-1), images[index])
            loss = F.cross_entropy(network(flipped), labels[index])
            descent.zero_grad()
            loss.backward()
            descent.step()
            cycle.step()
        print(f"epoch {epoch + 1} of {EPOCHS}, loss {loss.item():.2f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
