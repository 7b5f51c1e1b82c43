"""Cost and exactness of encoding with a diffusion model, and the cost of a gradient at each of its sites.

Three tables: the reconstruction of encoded images against steps and iterations, the time of a gradient at each site,
and the memory of a gradient at the first site against steps. Images are digits that `stylegan` draws, or the first ones
of a data set, resized. Times are CPU seconds per image; about fifteen minutes on one thread.

    python examples/diffusion_costs.py
    python examples/diffusion_costs.py --weights FOLDER --data folder:my-images --count 8
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch
from torch import Tensor

from granu import BuildContext, EncodingGenerator, Generator, Streams, fit_channels, load_catalog, quantize, resize

STEPS = (10, 25, 50, 100)
ITERATIONS = (1, 2, 4, 10, 30)
STEPS_OF_GRADIENTS = 25
STEPS_OF_MEMORY = (5, 10, 25, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", default="diffusion-mnist")
    parser.add_argument("--options", default="", help="further options of diffusion:, such as ,guidance=2")
    parser.add_argument("--data", help="a data set, such as folder:my-images; by default digits of stylegan")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.memory is not None:
        print(f"{asked.memory:5} {measure_memory(build(asked, asked.memory), asked.count):22.0f}", flush=True)
        return
    images, labels = read_images(asked)
    print(f"reconstruction of {len(images)} images {'x'.join(map(str, images.shape[1:]))} by steps and iterations")
    print("steps iterations  PSNR median  PSNR worst  seconds to encode")
    for steps in STEPS:
        for iterations in ITERATIONS:
            print_encoding(asked, steps, iterations, images, labels)
    print(f"\ngradient at a site, {STEPS_OF_GRADIENTS} steps")
    print("site     shape           seconds")
    print_gradients(build(asked, STEPS_OF_GRADIENTS), images, labels)
    print(f"\npeak memory of a gradient at t1000, {asked.count} images, beyond that of a pass without gradient")
    print("steps   MiB with recomputation")
    for steps in STEPS_OF_MEMORY:
        subprocess.run([sys.executable, *sys.argv, "--memory", str(steps)], check=True)


def build(asked: argparse.Namespace, steps: int, more: str = "") -> EncodingGenerator:
    """The generator with this many steps."""
    spec = f"diffusion:weights={asked.weights},sampling-steps={steps}{more}{asked.options}"
    generator: EncodingGenerator = BuildContext(load_catalog()).build("generator", spec)
    return generator


def read_images(asked: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) of the generator's size and its numbers for their classes (B,)."""
    context = BuildContext(load_catalog())
    target = build(asked, STEPS_OF_GRADIENTS)
    *_, channels, height, width = target.sites()[-1].shape
    if asked.data is None:
        source = context.build("generator", "stylegan")
        labels = torch.arange(asked.count) % len(source.classes)
        drawn = source.draw(Streams(0, [f"digit {i}" for i in range(asked.count)]), labels)
        images = source.tail(drawn, ["image"])({})
        names = [source.classes[label] for label in labels]
    else:
        dataset = context.build("dataset", asked.data)
        read = [dataset.read(i) for i in range(asked.count)]
        images = torch.stack([resize(fit_channels(image[None], channels), height, width)[0] for image, _ in read])
        names = [dataset.classes[label] for _, label in read]
    numbers = [target.classes.index(name) if target.classes else -1 for name in names]
    return quantize(images.detach().clamp(0, 1)), torch.tensor(numbers)


def print_encoding(asked: argparse.Namespace, steps: int, iterations: int, images: Tensor, labels: Tensor) -> None:
    """Print the PSNR of the reconstructions, and the time of encoding."""
    generator = build(asked, steps, f",iterations={iterations},tolerance=0")
    ids = [str(i) for i in range(len(images))]
    with torch.no_grad():
        start = time.process_time()
        latent = generator.encode(images, labels, Streams(0, ids))
        seconds = (time.process_time() - start) / len(images)
        found = generator.tail(latent, ["image"])({}).clamp(0, 1)
    psnr = -10 * (found - images).square().flatten(1).mean(dim=1).clamp_min(1e-12).log10()
    print(f"{steps:5} {iterations:10} {psnr.median():12.1f} {psnr.min():11.1f} {seconds:18.2f}", flush=True)


def print_gradients(generator: EncodingGenerator, images: Tensor, labels: Tensor) -> None:
    """The time of one gradient, the tail opened before."""
    with torch.no_grad():
        latent = generator.encode(images, labels, Streams(0, [str(i) for i in range(len(images))]))
    for site in generator.sites()[:-1]:
        tail = generator.tail(latent, [site.name])
        edit = torch.zeros_like(tail.clean[site.name]).requires_grad_()
        start = time.process_time()
        tail({site.name: edit}).sum().backward()
        seconds = (time.process_time() - start) / len(images)
        print(f"{site.name:8} {' x '.join(map(str, site.shape)):14} {seconds:8.3f}", flush=True)


def measure_memory(generator: Generator, count: int) -> float:
    """MiB by which a gradient at the first site raises the peak that a pass without gradient leaves."""
    site = generator.sites()[0].name
    labels = torch.arange(count) % len(generator.classes) if generator.classes else None
    latent = generator.draw(Streams(0, [str(i) for i in range(count)]), labels)  # type: ignore[attr-defined]
    tail = generator.tail(latent, [site])
    with torch.no_grad():
        tail({})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    edit = torch.zeros_like(tail.clean[site]).requires_grad_()
    tail({site: edit}).sum().backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10


if __name__ == "__main__":
    main()
