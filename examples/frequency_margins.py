"""Distances to the decision boundary along frequencies, low to high, with bootstrap bands (Hold me tight!, section 3).

The same measurement as `granu eval --perturb frequency:all,search=deepfool,box=no`. Only images that every classifier
classifies correctly are measured; with a second --classifier the last column is the ratio of its distance to that of
the first.

    python examples/frequency_margins.py --classifier zoo:mnist-cnn --data parquet:mnist-test.parquet --count 100
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import bootstrap, spearmanr
from torch import Tensor

from granu import Batch, BuildContext, Classifier, Criterion, Streams, load_catalog
from granu.runs.sources import DatasetSource, match_classes
from granu.search.deepfool import DeepFool
from granu.search.options import DeepFoolOptions
from granu_frequency.bands import all_bands
from granu_frequency.space import FrequencySpace
from granu_frequency.windows import all_starts, width_of


@dataclass(frozen=True)
class Margins:
    """Distances of B images in S bands, infinite where no boundary was reached, and the passes spent; (B, S) each."""

    distance: Tensor
    forward: Tensor
    backward: Tensor


def main() -> None:
    asked = read_arguments()
    torch.set_num_threads(1)
    context = BuildContext(load_catalog())
    classifiers = [context.build("classifier", spec) for spec in asked.classifier]
    images, labels = correct_images(context, classifiers, asked)
    size = tuple(images.shape[-2:])
    found = [measure(c, images, y, asked) for c, y in zip(classifiers, labels, strict=True)]
    print(f"{len(images)} images of {'x'.join(map(str, images.shape[1:]))}, median distance and its 95 % band")
    print(f"{'frequencies':12}" + "".join(f"{spec:>40}" for spec in asked.classifier) + "  times" * (len(found) == 2))
    for s, start in enumerate(all_starts(size)):
        cells = [median(one.distance[:, s]) for one in found]
        row = "".join(f"{middle:14.3f} [{low:8.3f}, {high:8.3f}]    " for middle, low, high in cells)
        times = f"{cells[1][0] / cells[0][0]:7.2f}" if len(cells) == 2 else ""
        print(f"{start[0]:4} to {start[0] + width_of(size[0]):<4}{row}{times}")
    for spec, one in zip(asked.classifier, found, strict=True):
        summarise(spec, one)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--classifier", action="append", required=True, help="one or two")
    parser.add_argument("--data", required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=9, help="candidate classes whose boundaries are compared")
    parser.add_argument("--box", action="store_true", help="keep images within [0, 1]")
    return parser.parse_args()


def correct_images(
    context: BuildContext, classifiers: Sequence[Classifier], asked: argparse.Namespace
) -> tuple[Tensor, list[Tensor]]:
    """The first `count` images of the seeded sample that all classify correctly, and each one's labels for them."""
    source = DatasetSource(context.build("dataset", asked.data), seed=0, device="cpu")
    numbers = [
        match_classes(source, c, asked.data, spec) for c, spec in zip(classifiers, asked.classifier, strict=True)
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


def measure(classifier: Classifier, images: Tensor, labels: Tensor, asked: argparse.Namespace) -> Margins:
    """DeepFool's distances within every band."""
    search = DeepFool(DeepFoolOptions(candidates=asked.candidates))
    streams = Streams(0, [str(i) for i in range(len(images))])
    bands = all_bands(tuple(images.shape[-2:]))
    results = [
        search.run(FrequencySpace(classifier, images, band, asked.box), Criterion(labels), streams) for band in bands
    ]
    distance, forward, backward = (
        torch.stack([getattr(result, name) for result in results], dim=1) for name in ("size", "forward", "backward")
    )
    return Margins(distance, forward, backward)


def median(distance: Tensor) -> tuple[float, float, float]:
    """The median and the ends of its 95 % bootstrap band; a boundary that was not reached is infinitely far."""
    middle = float(distance.quantile(0.5, interpolation="nearest"))
    band = bootstrap((distance.numpy(),), np.median, method="percentile", n_resamples=2000, rng=0).confidence_interval
    return middle, float(band.low), float(band.high)


def summarise(spec: str, found: Margins) -> None:
    """Print the rank correlation of median distance with frequency, the boundaries not reached, and the passes."""
    middle = found.distance.quantile(0.5, dim=0, interpolation="nearest")
    rank = spearmanr(range(len(middle)), middle).statistic
    missed = int(found.distance.isinf().sum())
    count = found.forward.numel()
    passes = f"{int(found.forward.sum()) / count:.1f}+{int(found.backward.sum()) / count:.1f}"
    print(f"{spec}: Spearman {rank:.3f}, {missed} of {count} not reached, {passes} passes for an image and band")


if __name__ == "__main__":
    main()
