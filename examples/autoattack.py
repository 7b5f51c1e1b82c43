"""Robust accuracy at a size: granu's `search=worst` and `search=pgd` beside AutoAttack (Croce and Hein 2020).

All methods get the same images of the zoo's classifiers: the first of the seeded sample of held-out images, with those
that are misclassified before any change, which count as not robust. Passes are counted by a layer around the
classifier, for images that were classified correctly. Each result is judged twice: as it is, in floating point, and as
the PNG that a file would hold. For L-infinity AutoAttack's PNGs are rounded so that they keep the size; granu's keep
it by themselves.

    pip install 'granu[benchmarks]'
    python examples/autoattack.py --data FOLDER
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from counting import Counted
from torch import Tensor

from granu import Batch, BuildContext, Classifier, Criterion, ImageEvidence, Streams, load_catalog, quantize
from granu.runs.sources import DatasetSource, match_classes
from granu.search.options import read_search
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search

MNIST, CIFAR10 = "mnist-test.parquet", "cifar10-test.parquet"
METHODS = ("pgd", "quick", "standard", "thorough", "AutoAttack")


@dataclass(frozen=True)
class Case:
    """A classifier, the file of its images, and the size of a change."""

    classifier: str
    norm: str  # as in `pixel:NORM`
    budget: float
    data: str = MNIST


CASES = (
    Case("mnist-cnn-l2", "l2", 2.0),
    Case("mnist-cnn-linf", "l2", 2.0),
    Case("mnist-cnn-linf", "l2", 1.0),
    Case("mnist-cnn-linf", "linf", 0.3),
    Case("mnist-cnn", "l2", 1.0),
    Case("cifar10-resnet", "linf", 1 / 255, CIFAR10),
)


def main() -> None:
    asked = read_arguments()
    torch.set_num_threads(1)
    context = BuildContext(load_catalog())
    print(f"{asked.count} images, one thread; passes and CPU seconds are means over correctly classified images")
    print(f"{'classifier':14} {'change':10} {'method':10} robust: float    PNG   forward backward  s/image")
    for case in [CASES[number] for number in asked.case or range(len(CASES))]:
        classifier = context.build("classifier", f"zoo:{case.classifier}")
        images, labels, ids = held_out(context, classifier, case, asked)
        with torch.no_grad():
            right = classifier(images).argmax(1) == labels
        batch = Batch(images[right], labels[right], tuple(id_ for id_, ok in zip(ids, right, strict=True) if ok))
        for method in asked.method or METHODS:
            counted = Counted(classifier)
            attack = auto_attack(case) if method == "AutoAttack" else ours(context, case, method)
            start = time.process_time()
            changed = torch.cat([attack(counted, part) for part in parts(batch, asked.batch)])
            seconds = time.process_time() - start
            report(case, method, classifier, batch, changed, counted, seconds, len(images))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {MNIST} and {CIFAR10}")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--case", type=int, action="append", choices=range(len(CASES)), help="one or several rows")
    parser.add_argument("--method", action="append", choices=METHODS)
    return parser.parse_args()


def held_out(
    context: BuildContext, classifier: Classifier, case: Case, asked: argparse.Namespace
) -> tuple[Tensor, Tensor, list[str]]:
    """The first images of the seeded sample, with their labels as numbers of the classifier."""
    spec = f"parquet:{asked.data / case.data}"
    source = DatasetSource(context.build("dataset", spec), seed=0, device="cpu")
    numbers = match_classes(source, classifier, spec, case.classifier)
    batches = [batch for batch in source.batches(range(asked.count)) if isinstance(batch, Batch)]
    labels = torch.cat([batch.labels for batch in batches])
    ids = [id_ for batch in batches for id_ in batch.ids]
    return torch.cat([batch.images for batch in batches]), labels if numbers is None else numbers[labels], ids


def parts(batch: Batch, size: int) -> list[Batch]:
    return [batch.select(index) for index in torch.arange(len(batch.images)).split(size)]


Attack = Callable[[Counted, Batch], Tensor]


def ours(context: BuildContext, case: Case, method: str) -> Attack:
    """A search of granu, as `granu eval` makes it from its spec."""
    given = {"search": "pgd"} if method == "pgd" else {"search": "worst", "effort": method}
    name, options = read_search({**given, "budget": str(case.budget)}, f"pixel:{case.norm}")
    space = context.build("perturbation", f"pixel:{case.norm}")
    perturbation = SearchedPerturbation(space, make_search(name, options))

    def attack(counted: Counted, batch: Batch) -> Tensor:
        proposal = perturbation.perturb(counted, batch, Criterion(batch.labels), Streams(0, batch.ids))
        assert isinstance(proposal.evidence, ImageEvidence)
        return proposal.evidence.images

    return attack


def auto_attack(case: Case) -> Attack:
    """AutoAttack in its standard version, by the package of its authors."""

    def attack(counted: Counted, batch: Batch) -> Tensor:
        from pyautoattack import AutoAttack

        norm = {"l2": "L2", "linf": "Linf", "l1": "L1"}[case.norm]
        rival = AutoAttack(counted, norm=norm, eps=case.budget, seed=0, version="standard")
        return rival.run_standard_evaluation(batch.images, batch.labels, batch_size=len(batch.images))[0]

    return attack


def report(
    case: Case,
    method: str,
    classifier: Classifier,
    batch: Batch,
    changed: Tensor,
    counted: Counted,
    seconds: float,
    count: int,
) -> None:
    """Print a row; robust accuracy is in per cent of all `count` images."""
    files = quantize(changed)
    if case.norm == "linf":  # a file at 0.30196 is no file of size 0.3
        whole = math.floor(case.budget * 255 + 1e-3) / 255
        files = quantize(batch.images + (files - batch.images).clamp(-whole, whole))
    with torch.no_grad():
        robust, saved = ((classifier(x).argmax(1) == batch.labels).sum().item() for x in (changed, files))
    used = len(batch.images)
    print(
        f"{case.classifier:14} {f'{case.norm} {case.budget:.3g}':10} {method:10} {100 * robust / count:13.1f} "
        f"{100 * saved / count:6.1f} {counted.forward_passes / used:9.0f} {counted.backward_passes / used:8.0f} "
        f"{seconds / used:8.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
