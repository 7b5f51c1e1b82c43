"""Clean and robust accuracy of classifiers; their agreement with generators, and the generators' variety."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from granu import BuildContext, ImageClassifier, Streams, load_catalog
from granu_zoo import CLASSIFIERS
from granu_zoo.train.coverage import features, precision_and_recall
from granu_zoo.train.data import read_images
from granu_zoo.train.measure import ATTACKED, BUDGETS, accuracy, robust_accuracy
from granu_zoo.trained_on import CIFAR10, MNIST, TrainedOn, trained_on

__all__ = ["check"]

GENERATORS = ("stylegan", "biggan", "diffusion")
FEATURES = "mnist-judge-resnet"  # in whose last features precision and recall are measured


def check(data: Path, specs: Sequence[str] = (), generators: Sequence[str] = (), samples: int = 2000) -> None:
    """Print clean and robust accuracy of classifiers on their test images, and how good generators of digits are.

    By default those that ship; otherwise only the classifiers and generators that are named.
    """
    context = BuildContext(load_catalog())
    everything = not specs and not generators
    for known in (MNIST, CIFAR10):
        chosen = [spec for spec in (_shipped() if everything else specs) if _data_of(context, spec) is known]
        if chosen:
            check_classifiers(context, chosen, known, data)
    for generator in GENERATORS if everything else generators:
        print(generator)
        drawn, wanted = draw_samples(context, generator, samples)
        check_agreement(context, drawn, wanted)
        check_coverage(context, drawn, data)


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


def check_agreement(context: BuildContext, drawn: Tensor, wanted: Tensor) -> None:
    """Print each classifier's agreement with the classes (N,) that images (N, 1, 32, 32) were drawn from."""
    print(f"{'classifier':20} {f'agrees of {len(drawn)}':>15}   least agreement")
    for name in (name for name in CLASSIFIERS if trained_on(name) is MNIST):
        classifier = context.build("classifier", f"zoo:{name}")
        by_class = [accuracy(classifier, drawn[wanted == k], wanted[wanted == k]) for k in range(10)]
        least = min(range(10), key=lambda k: by_class[k])
        agreement = accuracy(classifier, drawn, wanted)
        print(f"{name:20} {agreement:15.2%}   {least}: {by_class[least]:.2%}")


def check_coverage(context: BuildContext, drawn: Tensor, data: Path) -> None:
    """Print precision and recall of drawn images against as many test images."""
    judge = cast(ImageClassifier, context.build("classifier", f"zoo:{FEATURES}"))
    real = read_images(data, MNIST, "test")[0][: len(drawn)].float() / 255
    precision, recall = precision_and_recall(features(judge, real), features(judge, drawn))
    print(f"precision {precision:.2f} recall {recall:.2f}, against {len(real)} test images", flush=True)


def draw_samples(context: BuildContext, spec: str, count: int) -> tuple[Tensor, Tensor]:
    """Draw images of a generator, (count, 1, 32, 32) in [0, 1], and their labels.

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
    """The dataset of a classifier, by its classes."""
    return CIFAR10 if tuple(context.build("classifier", spec).classes) == CIFAR10.classes else MNIST
