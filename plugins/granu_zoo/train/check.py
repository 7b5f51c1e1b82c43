"""Clean and robust accuracy of classifiers, and their agreement with the classes of generated images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from granu import BuildContext, Streams, load_catalog
from granu_zoo import CLASSIFIERS
from granu_zoo.train.data import read_images
from granu_zoo.train.measure import ATTACKED, BUDGETS, accuracy, robust_accuracy
from granu_zoo.trained_on import CIFAR10, MNIST, TrainedOn, trained_on

__all__ = ["check"]

GENERATORS = ("stylegan", "biggan")


def check(data: Path, specs: Sequence[str] = (), samples: int = 2000) -> None:
    """Print clean and robust accuracy of classifiers on their test images; by default those that ship.

    Of those that ship, also the agreement with the generators' classes.
    """
    context = BuildContext(load_catalog())
    for known in (MNIST, CIFAR10):
        chosen = [spec for spec in specs or _shipped() if _data_of(context, spec) is known]
        if chosen:
            check_classifiers(context, chosen, known, data)
    if not specs:
        for generator in GENERATORS:
            print(generator)
            check_generator(context, generator, samples)


def check_classifiers(context: BuildContext, specs: Sequence[str], known: TrainedOn, data: Path) -> None:
    """Print a table of classifiers of one dataset, one line each as soon as it is measured."""
    images, labels = read_images(data, known, "test")
    x, budgets = images.float() / 255, BUDGETS[known.name]
    width = max(len(spec) for spec in specs)
    print(f"{'':{width}} {'clean':>8}   {ATTACKED} images under PGD-40")
    print(f"{'classifier':{width}} {f'of {len(labels)}':>8} " + " ".join(f"{budget:>21}" for budget in budgets))
    for spec in specs:
        classifier = context.build("classifier", spec).eval().requires_grad_(False)
        clean = accuracy(classifier, x, labels)
        robust = [robust_accuracy(classifier, x[:ATTACKED], labels[:ATTACKED], b, context) for b in budgets]
        print(f"{spec:{width}} {clean:8.2%} " + " ".join(f"{value:21.1%}" for value in robust), flush=True)


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


def _shipped() -> list[str]:
    return [f"zoo:{name}" for name in CLASSIFIERS]


def _data_of(context: BuildContext, spec: str) -> TrainedOn:
    """The dataset of a classifier, which its classes tell."""
    return CIFAR10 if tuple(context.build("classifier", spec).classes) == CIFAR10.classes else MNIST
