"""Does fine-tuning with AdvBN, PRIME or AugMix help a classifier of CIFAR-10? With controls of equal steps and seeds.

Every defense starts from `zoo:cifar10-resnet` and takes the same steps on the same images in the same order. The
controls are plain fine-tuning and AdvBN's two training passes on random statistics of equal size. All of them are
tested on the same images: clean, under 12 changes of style and under 15 corruptions of severity 3, by every route that
a file holds. Random changes are those of a seed of their own, which training does not know.

    python examples/hardening_cifar10.py --data FOLDER [--out runs/hardening] [--seeds 0 1 2]

FOLDER holds cifar10-train.parquet and cifar10-test.parquet. The script may be interrupted and repeated. It took
about 20 minutes of one core for each seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from granu import Batch, BuildContext, Classifier, Streams, load_catalog, quantize

BASE = "zoo:cifar10-resnet"
CUT = "blocks.0"
DEFENSES = {
    "plain fine-tuning": "standard",
    "AdvBN, random statistics": f"advbn:{CUT},random=uniform",
    "AdvBN": f"advbn:{CUT}",
    "AugMix": "augmix:jsd=no",
    "PRIME": "prime:jsd=no",
}
ROUTES = {name: ("main", "aux") if "AdvBN" in name else ("main",) for name in DEFENSES}
SETTINGS = "--augment shift-flip --optimizer sgd --lr 0.01 --batch 128 --hold-out 0 --device cpu --quiet"
STYLES = {
    "rotation": 15.0,
    "translation": 12.0,
    "scale": 0.4,
    "perspective": 30.0,
    "blur": 3.5,
    "brightness": 0.25,
    "contrast": 1.2,
    "gamma": 1.0,
    "tint": 0.3,
    "hue": 60.0,
    "saturation": 2.0,
    "greyscale": 1.0,
}  # sizes that leave images recognisable, in the units of `style`
SEVERITY = 3.0
CORRUPTIONS = (
    *("gaussian-noise", "shot-noise", "impulse-noise"),
    *("defocus-blur", "glass-blur", "motion-blur", "zoom-blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic-transform", "pixelate", "jpeg-compression"),
)
SEED_OF_TEST = 1000
AT_ONCE = 250  # images

Accuracies = dict[str, dict[str, float]]
"""Change -> classifier -> percent of the test images classified correctly."""


def main() -> None:
    asked = read_arguments()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    training = take_images(asked)
    specs = [BASE]
    for seed in asked.seeds:
        for name, defense in DEFENSES.items():
            file = asked.out / f"{name.lower().replace(', ', '-').replace(' ', '-')}-{seed}.safetensors"
            train(defense, training, file, seed, asked.epochs)
            specs += [f"file:{file},route={route}" for route in ROUTES[name]]
    accuracies = test(specs, asked)
    print_table(accuracies, asked)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the parquet files of CIFAR-10")
    parser.add_argument("--out", type=Path, default=Path("runs/hardening"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=8000, help="training images: the first ones")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--count", type=int, default=1000, help="test images: the first ones")
    return parser.parse_args()


def take_images(asked: argparse.Namespace) -> Path:
    """Write the first training images to a file of their own."""
    import pyarrow.parquet

    file = asked.out / f"train-{asked.images}.parquet"
    if not file.exists():
        table = pyarrow.parquet.read_table(asked.data / "cifar10-train.parquet")
        pyarrow.parquet.write_table(table.slice(0, asked.images), file)
    return file


def train(defense: str, training: Path, file: Path, seed: int, epochs: int) -> None:
    """Run `granu train`, which does nothing if the file is finished and goes on if it was interrupted."""
    words = ["train", "--defense", defense, "--classifier", BASE, "--data", f"parquet:{training}"]
    words += ["--out", str(file), "--seed", str(seed), "--epochs", str(epochs), *SETTINGS.split()]
    subprocess.run([sys.executable, "-m", "granu", *words], check=True, stdout=subprocess.DEVNULL)


def test(specs: Sequence[str], asked: argparse.Namespace) -> Accuracies:
    """Accuracies under every change; those of an earlier run are kept."""
    file = asked.out / f"accuracies-{asked.count}.json"
    known: Accuracies = json.loads(file.read_text()) if file.exists() else {}
    missing = [spec for spec in specs if any(spec not in known.get(change, {}) for change in CHANGES)]
    if not missing:
        return known
    context = BuildContext(load_catalog())
    classifiers = {spec: context.build("classifier", spec).eval() for spec in missing}
    batches = list(read_images(context, asked))
    for number, change in enumerate(CHANGES, 1):
        right = dict.fromkeys(missing, 0)
        for batch in batches:
            images = changed(context, change, next(iter(classifiers.values())), batch)
            for spec, classifier in classifiers.items():
                right[spec] += count_right(classifier, images, batch.labels)
        known.setdefault(change, {}).update({spec: 100 * n / asked.count for spec, n in right.items()})
        file.write_text(json.dumps(known, indent=1))
        print(f"{number}/{len(CHANGES)} {change}", file=sys.stderr)
    return known


CHANGES: Mapping[str, tuple[str, float] | None] = {
    "clean": None,
    **{f"style {name}": (f"style:{name}", size) for name, size in STYLES.items()},
    **{f"corruption {name}": (f"corruption:{name}", SEVERITY) for name in CORRUPTIONS},
}


def read_images(context: BuildContext, asked: argparse.Namespace) -> Iterator[Batch]:
    dataset = context.build("dataset", f"parquet:{asked.data / 'cifar10-test.parquet'}")
    for start in range(0, asked.count, AT_ONCE):
        part = range(start, min(start + AT_ONCE, asked.count))
        images, labels = zip(*(dataset.read(index) for index in part), strict=True)
        yield Batch(torch.stack(images), torch.tensor(labels), tuple(map(dataset.image_id, part)))


@torch.no_grad()
def changed(context: BuildContext, change: str, classifier: Classifier, batch: Batch) -> Tensor:
    """The images (B, C, H, W) under a random change of its size; the classifier is not asked."""
    how = CHANGES[change]
    if how is None:
        return batch.images
    spec, size = how
    streams = Streams(SEED_OF_TEST, batch.ids, change)
    space = context.build("perturbation", spec).open(classifier, batch, streams.scope("space"))
    return quantize(space.images(space.draw(torch.full((len(batch.ids),), size), streams.scope("draw"))))


@torch.no_grad()
def count_right(classifier: Classifier, images: Tensor, labels: Tensor) -> int:
    return int((classifier(images).argmax(dim=1) == labels).sum())


def print_table(accuracies: Accuracies, asked: argparse.Namespace) -> None:
    """Means over the seeds, and in parentheses the standard deviation between seeds."""
    print(f"{asked.count} test images; mean over seeds {', '.join(map(str, asked.seeds))} (standard deviation)\n")
    print(f"| {'trained with':26} | {'route':5} | clean        | style        | corruption   |")
    print(f"|{'-' * 28}|-------|{'-' * 14}|{'-' * 14}|{'-' * 14}|")
    print_row("nothing: the start", "", [BASE], accuracies)
    for name in DEFENSES:
        stem = name.lower().replace(", ", "-").replace(" ", "-")
        for route in ROUTES[name]:
            files = [asked.out / f"{stem}-{seed}.safetensors" for seed in asked.seeds]
            shown = route if len(ROUTES[name]) > 1 else ""
            print_row(name, shown, [f"file:{file},route={route}" for file in files], accuracies)


def print_row(name: str, route: str, specs: Sequence[str], accuracies: Accuracies) -> None:
    cells = []
    for kind in ("clean", "style", "corruption"):
        changes = [change for change in CHANGES if change.startswith(kind)]
        each = [statistics.mean(accuracies[change][spec] for change in changes) for spec in specs]
        spread = f" ({statistics.stdev(each):.2f})" if len(each) > 1 else ""
        cells.append(f"{statistics.mean(each):.2f}{spread}")
    print(f"| {name:26} | {route:5} | " + " | ".join(f"{cell:12}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
