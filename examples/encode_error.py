"""Exactness and cost of encoding digits with the shipped generators, for some settings of each.

Encodes digits of MNIST's test set, which the generators have not seen, and as many of each generator's own draws.
Prints medians of PSNR and SSIM, the lowest PSNR, the accuracy of a classifier on the reconstructions and on the images
themselves, and CPU seconds per image on one thread.

A setting is steps x starts of a GAN, and sampling steps x iterations of the diffusion model.

    python examples/encode_error.py --data FOLDER [--count 20] [--settings 100x1 100x4 ...] [--generators biggan]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from granu import BuildContext, Classifier, Streams, load_catalog, quantize
from granu.images.ops import psnr, ssim
from granu.runs.encodings import Encoder

OPTIONS = {
    "stylegan": ("inversion-steps", "starts"),
    "biggan": ("inversion-steps", "starts"),
    "diffusion": ("sampling-steps", "iterations"),
}
GAN_SETTINGS = ("50x2", "100x2", "200x2")
SETTINGS = {"stylegan": GAN_SETTINGS, "biggan": GAN_SETTINGS, "diffusion": ("10x10", "25x20")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of MNIST's parquet files")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--settings", nargs="+", help="STEPSxSTARTS, of diffusion STEPSxITERATIONS")
    parser.add_argument("--generators", nargs="+", choices=OPTIONS, default=tuple(OPTIONS))
    parser.add_argument("--classifier", default="zoo:mnist-cnn")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    context = BuildContext(load_catalog())
    classifier = context.build("classifier", arguments.classifier)
    print("generator  images         setting   PSNR (least)   SSIM   accuracy (of images)  s/image")
    for name in arguments.generators:
        for setting in arguments.settings or SETTINGS[name]:
            options = ",".join(f"{key}={value}" for key, value in zip(OPTIONS[name], setting.split("x"), strict=True))
            generator = context.build("generator", f"{name}:{options}")
            for what in ("real", "drawn"):
                images, labels = IMAGES[what](context, generator, arguments)
                row = measure(generator, images, labels, classifier)
                print(f"{name:9}  {what:6}  {setting:>14}  {row}", flush=True)


def real(context: BuildContext, generator: Any, arguments: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """The first digits of the test set, prepared as `granu eval` does."""
    dataset = context.build("dataset", f"parquet:{arguments.data / 'mnist-test.parquet'}")
    images, labels = zip(*(dataset.read(i) for i in range(arguments.count)), strict=True)
    encoder = Encoder(generator, None, context.cache, context.device)
    return encoder.prepare(torch.stack(images)), torch.tensor(labels)


def drawn(context: BuildContext, generator: Any, arguments: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """The generator's own digits, the classes in turn."""
    labels = torch.arange(arguments.count) % len(generator.classes)
    latent = generator.draw(Streams(0, [f"own-{i}" for i in range(arguments.count)], "draw"), labels)
    with torch.no_grad():
        return quantize(generator.tail(latent, ["image"])({})), labels


IMAGES = {"real": real, "drawn": drawn}


def measure(generator: Any, images: Tensor, labels: Tensor, classifier: Classifier) -> str:
    """One line of the table."""
    before = time.process_time()
    latent = generator.encode(images, labels, Streams(0, [str(i) for i in range(len(images))], "encode"))
    seconds = (time.process_time() - before) / len(images)
    with torch.no_grad():
        made = quantize(generator.tail(latent, ["image"])({}))
        ratio, similar = psnr(images, made), ssim(images, made)
        right = [accuracy(classifier, x, labels) for x in (made, images)]
    return (
        f"{ratio.median():6.1f} ({ratio.min():4.1f})  {similar.median():6.3f}  {right[0]:8.1%} ({right[1]:6.1%})"
        f"       {seconds:7.2f}"
    )


def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    return (classifier(images).argmax(dim=1) == labels).float().mean().item()


if __name__ == "__main__":
    main()
