"""A PNG of images under PRIME and AugMix: a row for each image, and what each column shows is printed.

python examples/prime_sheet.py folder:photographs sheet.png
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from granu import BuildContext, Streams, load_catalog, resize
from granu_prime import PRIMITIVES, AugmixOptions, PrimeOptions
from granu_prime.families import Prime, augmix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", help="a dataset, like folder:photographs")
    parser.add_argument("file", type=Path)
    parser.add_argument("--side", type=int, default=128, help="pixels; up to 64 the preset is that of CIFAR")
    parser.add_argument("--count", type=int, default=6, help="images, spread over the dataset")
    asked = parser.parse_args()
    images = read_images(asked.data, asked.count, asked.side)
    streams = Streams(0, [str(i) for i in range(len(images))])
    names, shown = zip(*columns(images, streams), strict=True)
    print(", ".join(names))
    write(torch.cat([torch.cat(tuple(column), dim=1) for column in shown], dim=2), asked.file)


def read_images(data: str, count: int, side: int) -> Tensor:
    """Colour images of a dataset, (B, 3, side, side)."""
    dataset = BuildContext(load_catalog()).build("dataset", data)
    count = min(count, len(dataset))
    every = [dataset.read(i * len(dataset) // count)[0] for i in range(count)]
    return torch.cat([resize(image[None].expand(1, 3, -1, -1), side, side) for image in every]).clamp(0, 1)


def columns(images: Tensor, streams: Streams) -> Iterator[tuple[str, Tensor]]:
    """Name and images of each column: clean, two draws of each primitive, three of the mixture, two of AugMix."""
    size = (images.shape[-2], images.shape[-1])
    yield "clean", images
    for name in PRIMITIVES:
        (primitive,) = Prime(PrimeOptions(primitives=(name,))).mixture(size).primitives
        for draw in (1, 2):
            yield name, primitive(images, streams.scope(f"{name}{draw}"))
    for draw in (1, 2, 3):
        yield "prime", Prime(PrimeOptions())(images, streams.scope(f"prime{draw}"))
    for draw in (1, 2):
        yield "augmix", augmix(AugmixOptions())(images, streams.scope(f"augmix{draw}"))


def write(image: Tensor, file: Path) -> None:
    """Write an image (3, H, W) as a PNG."""
    from PIL import Image

    pixels = (image.permute(1, 2, 0) * 255).round().to(torch.uint8)
    Image.fromarray(pixels.numpy()).save(file, optimize=True)


if __name__ == "__main__":
    main()
