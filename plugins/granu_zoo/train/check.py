"""Accuracy of the shipped classifiers, and their agreement with the classes of generated images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from granu import BuildContext, Streams, load_catalog
from granu_zoo import CLASSIFIERS
from granu_zoo.train.classifiers import accuracy
from granu_zoo.train.data import read_images
from granu_zoo.trained_on import MNIST, trained_on

__all__ = ["check"]

GENERATORS = ("stylegan", "biggan")


def check(data: Path, samples: int = 2000) -> None:
    """Print each classifier's accuracy on its test images and its agreement with the generators' classes."""
    context = BuildContext(load_catalog())
    print(f"{'classifier':20} {'accuracy':>8}")
    for name in CLASSIFIERS:
        images, labels = read_images(data, trained_on(name), "test")
        clean = accuracy(context.build("classifier", f"zoo:{name}"), images.float() / 255, labels)
        print(f"{name:20} {clean:8.2%} of {len(labels)}")
    for generator in GENERATORS:
        print(generator)
        check_generator(context, generator, samples)


def check_generator(context: BuildContext, generator: str, samples: int) -> None:
    """Print each classifier's agreement with the classes that images were drawn from."""
    drawn, wanted = draw_samples(context, generator, samples)
    print(f"{'classifier':20} {f'agrees of {samples}':>15}   least agreement")
    for name in (name for name in CLASSIFIERS if trained_on(name) is MNIST):
        classifier = context.build("classifier", f"zoo:{name}")
        by_class = [accuracy(classifier, drawn[wanted == k], wanted[wanted == k]) for k in range(10)]
        least = min(range(10), key=lambda k: by_class[k])
        agreement = accuracy(classifier, drawn, wanted)
        print(f"{name:20} {agreement:15.2%}   {least}: {by_class[least]:.2%}")


def draw_samples(context: BuildContext, spec: str, count: int) -> tuple[Tensor, Tensor]:
    """Draw images of a shipped generator with default options, (count, 1, 32, 32) in [0, 1], and their labels.

    All classes are drawn equally often.
    """
    generator = context.build("generator", spec)
    labels = torch.arange(count) % 10
    images = []
    with torch.no_grad():
        for chosen in torch.arange(count).split(100):
            streams = Streams(0, [f"check-{i}" for i in chosen.tolist()])
            tail = generator.tail(generator.draw(streams, labels[chosen]), ["image"])
            images.append(tail({}).clamp(0, 1))
    return torch.cat(images), labels
