"""Time of PRIME's augmentation against its published mathematics, and its share of a training step of a ResNet-18.

The published code computes every primitive for all chains at every depth and then masks, draws parameters once for a
batch, and keeps the sines of all frequencies in memory. It is written out here from the description in the paper; the
bounds of the parameters are those of its configuration for CIFAR. Both augment the same images in turn, on one thread.

    python examples/prime_speed.py
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from granu import Streams, resize
from granu_prime import PrimeOptions
from granu_prime.families import Prime

Augmentation = Callable[[Tensor], Tensor]


def main() -> None:
    asked = read_arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = smooth_images(asked.batch, asked.side)
    ours, published = median_seconds([our_augmentation(), published_prime], images, asked.repeats)
    print(f"{asked.batch} images of {asked.side} x {asked.side}, one thread, medians of {asked.repeats} runs in turn")
    print(f"published mathematics  {1000 * published:8.1f} ms")
    print(f"granu                  {1000 * ours:8.1f} ms   {published / ours:.1f} times faster")
    for name, change in zip(("published", "granu"), changes(images), strict=True):
        print(f"RMS change, {name:10} {change:8.3f}")
    if asked.step:
        step = step_seconds(images, asked.steps)
        print(f"ResNet-18 step         {1000 * step:8.1f} ms   augmentation is {100 * ours / step:.2f} % of it")
        print(f"with the JSD loss: two augmentations, three passes: {100 * 2 * ours / (3 * step):.2f} %")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="training steps that are timed")
    parser.add_argument("--no-step", dest="step", action="store_false", help="leave out the training step")
    return parser.parse_args()


def smooth_images(count: int, side: int) -> Tensor:
    """Random smooth images (count, 3, side, side) in [0, 1]."""
    return resize(torch.rand(count, 3, max(2, side // 4), max(2, side // 4)), side, side).clamp(0, 1)


def our_augmentation() -> Augmentation:
    """PRIME with the streams of a new step at each call, so that opening them is timed."""
    prime = Prime(PrimeOptions())
    calls = iter(range(1_000_000))

    def augment(images: Tensor) -> Tensor:
        names = [f"image {i}" for i in range(len(images))]
        return prime(images, Streams(0, names, f"step {next(calls)}"))

    return augment


def median_seconds(augmentations: Sequence[Augmentation], images: Tensor, repeats: int) -> list[float]:
    """Median CPU seconds of each, run in turn after one warm-up."""
    seconds: list[list[float]] = [[] for _ in augmentations]
    for turn in range(repeats + 1):
        for own, augment in zip(seconds, augmentations, strict=True):
            begin = time.process_time()
            augment(images)
            if turn:
                own.append(time.process_time() - begin)
    return [median(own) for own in seconds]


def changes(images: Tensor, draws: int = 200) -> list[float]:
    """Mean RMS change of one image's draws, published and ours.

    The published mathematics is called for one image at a time, so that each draw has parameters of its own.
    """
    alone = images[:1]
    published = torch.cat([published_prime(alone) for _ in range(draws)])
    ours = our_augmentation()(alone.expand(draws, -1, -1, -1))
    return [(x - alone).square().mean(dim=(1, 2, 3)).sqrt().mean().item() for x in (published, ours)]


# The published mathematics, one set of parameters for each call


def published_prime(x: Tensor, width: int = 3, depth: int = 3) -> Tensor:
    """All primitives for all chains at every depth, then masked."""
    B = len(x)
    w = torch.distributions.Dirichlet(torch.ones(width)).sample((B,))
    m = torch.rand(B, 1, 1, 1)
    chains = x.repeat(width, 1, 1, 1)
    depths = torch.randint(1, depth + 1, (width * B,))
    for d in range(depth):
        chosen = F.one_hot(torch.randint(0, 3, (width * B,)), 3).float()
        every = (published_spectral(chains), published_colour(chains), published_spatial(chains))
        applied = sum(chosen[:, k, None, None, None] * one for k, one in enumerate(every))
        deep = (depths > d).float()[:, None, None, None]
        chains = deep * applied + (1 - deep) * chains
    mixed = torch.einsum("bj,jbchw->bchw", w, chains.view(width, *x.shape))
    return (1 - m) * x + m * mixed


def published_spectral(x: Tensor, sigma: float = 4.0, k: int = 3) -> Tensor:
    """Random filters, but with the identity at the centre, as ours has it by default."""
    delta = torch.zeros(k, k)
    delta[k // 2, k // 2] = 1
    kernels = delta + sigma * torch.rand(()) * torch.randn(len(x), 1, k, k)
    return F.conv2d(x.transpose(0, 1), kernels, padding="same", groups=len(x)).transpose(0, 1).clamp(0, 1)


def published_colour(x: Tensor, cut: int = 100, temperature: float = 0.01, band: int = 0) -> Tensor:
    """Random colour maps; the sines of all frequencies are in memory at once."""
    highest = int(torch.randint(1, cut + 1, ()))
    first = int(torch.randint(1, highest + 1, ())) if band else 1
    k = torch.arange(first, min(first + band, highest + 1) if band else highest + 1)
    c = (temperature * torch.rand(())).sqrt() * torch.randn(*x.shape[:2], len(k))
    sines = torch.sin(torch.pi * k * x.flatten(2)[..., None])  # (B, C, H W, K)
    return (x + torch.einsum("bck,bcnk->bcn", c, sines).view_as(x)).clamp(0, 1)


def published_spatial(x: Tensor, cut: int = 100) -> Tensor:
    """One random deformation for the whole batch, of square images, modes beyond the pixels' resolution included."""
    n = x.shape[-1]
    arcsine = torch.distributions.Beta(torch.tensor(0.5), torch.tensor(0.5))
    bound = int(torch.randint(3, cut + 1, ()))
    c = int(arcsine.sample() * (bound - 1) + 2)
    low = 1 / (math.pi * n**2 * math.log(c))
    high = max(low, 4 / (math.pi**3 * c**2 * math.log(c)))
    temperature = low + float(arcsine.sample()) * (high - low)
    i = torch.arange(1, c + 1).float()
    r = (i[:, None].square() + i.square()).sqrt()
    sines = torch.sin(torch.pi * torch.linspace(0, 1, n)[:, None] * i)  # (n, c)
    shift = [n * math.sqrt(temperature) * sines @ (torch.randn(c, c) * (r < c + 0.5) / r) @ sines.T for _ in range(2)]
    place = torch.arange(n).float()
    source_x, source_y = (place - shift[0]).clamp(0, n - 1), (place[:, None] - shift[1]).clamp(0, n - 1)
    grid = torch.stack((source_x, source_y), dim=-1) / ((n - 1) / 2) - 1
    return F.grid_sample(x, grid.expand(len(x), -1, -1, -1), align_corners=True)


# The training step


def step_seconds(images: Tensor, steps: int) -> float:
    """Median CPU seconds of a training step of a ResNet-18 for small images."""
    network = resnet18()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    labels = torch.arange(len(images)) % 10
    seconds = []
    for turn in range(steps + 1):
        begin = time.process_time()
        optimiser.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()
        if turn:
            seconds.append(time.process_time() - begin)
    return median(seconds)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        same = before == after and stride == 1
        shortcut = (nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Identity() if same else nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def resnet18(classes: int = 10) -> nn.Sequential:
    """A ResNet-18 that keeps the size of small images in its first layer."""
    stem = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    widths = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
    blocks = [b for before, after, s in widths for b in (Block(before, after, s), Block(after, after, 1))]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


if __name__ == "__main__":
    main()
