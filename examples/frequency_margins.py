"""Distances to the decision boundary along frequencies, low to high, with bootstrap bands (Hold me tight!, section 3).

Only images that the classifier names right are measured. A second --classifier is measured on the images that
both name right, and the last column is how many times as far its boundary is.

    python examples/frequency_margins.py --classifier zoo:mnist-cnn --data parquet:mnist-test.parquet --count 100
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from scipy.stats import bootstrap, spearmanr
from torch import Tensor

from granu import Batch
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.sources import DatasetSource, match_classes, names_of
from granu.types import Classifier
from granu_frequency.bands import all_bands
from granu_frequency.margins import Margins, margins
from granu_frequency.windows import all_starts, width_of


def main() -> None:
    asked = read_arguments()
    torch.set_num_threads(1)
    context = BuildContext(load_catalog())
    classifiers = [context.build("classifier", spec) for spec in asked.classifier]
    images, labels = right_images(context, classifiers, asked)
    size = tuple(images.shape[-2:])
    found = [
        margins(c, images, y, all_bands(size), rivals=asked.rivals, box=asked.box)
        for c, y in zip(classifiers, labels, strict=True)
    ]
    print(f"{len(images)} images of {'x'.join(map(str, images.shape[1:]))}, median distance and its 95 % band")
    print(f"{'frequencies':12}" + "".join(f"{spec:>40}" for spec in asked.classifier) + "  times" * (len(found) == 2))
    for s, start in enumerate(all_starts(size)):
        cells = [median(one.distance[:, s]) for one in found]
        row = "".join(f"{middle:14.3f} [{low:8.3f}, {high:8.3f}]    " for middle, low, high in cells)
        times = f"{cells[1][0] / cells[0][0]:7.2f}" if len(cells) == 2 else ""
        print(f"{start[0]:4} to {start[0] + width_of(size[0]):<4}{row}{times}")
    for spec, one in zip(asked.classifier, found, strict=True):
        tell(spec, one)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--classifier", action="append", required=True, help="one or two")
    parser.add_argument("--data", required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rivals", type=int, default=9, help="classes that are walked towards")
    parser.add_argument("--box", action="store_true", help="keep images within [0, 1] on the way")
    return parser.parse_args()


def right_images(
    context: BuildContext, classifiers: list[Classifier], asked: argparse.Namespace
) -> tuple[Tensor, list[Tensor]]:
    """The first `count` images of the seeded sample that all name right, and each classifier's numbers for them."""
    source = DatasetSource(context.build("dataset", asked.data), seed=0, device="cpu")
    numbers = [
        match_classes(source.classes, names_of(c, source.classes), asked.data, spec)
        for c, spec in zip(classifiers, asked.classifier, strict=True)
    ]
    images: list[Tensor] = []
    labels: list[list[Tensor]] = [[] for _ in classifiers]
    for position in range(len(source)):
        for batch in source.batches([position]):
            if not isinstance(batch, Batch):
                continue
            own = [batch.labels if n is None else n[batch.labels] for n in numbers]
            if all(bool(c(batch.images).argmax(1) == y) for c, y in zip(classifiers, own, strict=True)):
                images.append(batch.images)
                for kept, y in zip(labels, own, strict=True):
                    kept.append(y)
        if len(images) == asked.count:
            break
    return torch.cat(images), [torch.cat(kept) for kept in labels]


def median(distance: Tensor) -> tuple[float, float, float]:
    """The median and the ends of its 95 % bootstrap band; what was not reached counts as farther than all the rest."""
    middle = float(distance.quantile(0.5, interpolation="nearest"))
    band = bootstrap((distance.numpy(),), np.median, method="percentile", n_resamples=2000, rng=0).confidence_interval
    return middle, float(band.low), float(band.high)


def tell(spec: str, found: Margins) -> None:
    """The rank correlation of median distance with frequency, what was not reached, and the passes."""
    middle = found.distance.quantile(0.5, dim=0, interpolation="nearest")
    rank = spearmanr(range(len(middle)), middle).statistic
    missed = int(found.distance.isinf().sum())
    count = found.forward.numel()
    passes = f"{int(found.forward.sum()) / count:.1f}+{int(found.backward.sum()) / count:.1f}"
    print(f"{spec}: Spearman {rank:.3f}, {missed} of {count} not reached, {passes} passes for an image and band")


if __name__ == "__main__":
    main()
