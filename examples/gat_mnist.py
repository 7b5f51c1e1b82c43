"""The gain of a classifier of digits with few labels from training against a generator's styles and noise maps.

Every row is a training from random weights on the same labelled digits, for as many steps. Controls: real digits only;
with unperturbed generated ones; with random changes of the size that the attack spends; and with the labels that the
generator was trained on. All are evaluated on the same images: clean digits, changes in the latents of the generator
that trained and of another one, changes of pixels, styles and corruptions. The judge logs how often an attack changes
the class that it sees, and changes nothing.

    python examples/gat_mnist.py --data mnist-train.parquet --test mnist-test.parquet [--labels 300] [--seeds 0 1 2]
        [--out runs/gat] [--rows "real" "GAT" ...] [--perturb SPEC ...]

The script may be interrupted and repeated: a training that is finished and an image that was measured are not repeated,
and further seeds, rows and perturbations are added. It prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

import granu

CLASSIFIER = "zoo:mnist-cnn,init=random"
JUDGED = "judge=zoo:mnist-judge-resnet,changed=keep"
GAT = f"steps=2,{JUDGED}"
PIXEL = "adversarial:pixel:linf,budget=0.1,steps=3"
ROWS: Mapping[str, Sequence[str]] = {
    "real": ["standard"],
    "real + generated": ["gat:stylegan,attack=none"],
    "random latents": [f"gat:stylegan,{GAT},attack=random"],
    "GAT style": [f"gat:stylegan:style*,{GAT}"],
    "GAT noise": [f"gat:stylegan:noise*,budget=1.2,{GAT}"],
    "GAT": [f"gat:stylegan,{GAT}"],
    "pixel": [PIXEL],
    "generated + pixel": [PIXEL, "gat:stylegan,attack=none"],
    "GAT + pixel": [PIXEL, f"gat:stylegan,{GAT}"],
    "real + all labels": ["extra-data:parquet:DATA"],
}  # DATA stands for the file of all training images
COMPARED = (
    ("real + generated", "real"),
    ("real + all labels", "real"),
    *((row, "real + generated") for row in ("random latents", "GAT style", "GAT noise", "GAT")),
    ("GAT", "random latents"),
    ("pixel", "real"),
    ("generated + pixel", "pixel"),
    ("GAT + pixel", "generated + pixel"),
)  # a row and its control
SEARCH = "search=pgd,steps"
ATTACKS: Mapping[str, str] = {
    "stylegan": f"stylegan:style*+noise*,norm=linf,bands=style*:1+noise*:6,{SEARCH}=6,budget=0.2",
    "biggan": f"biggan:layer0+layer*,norm=linf,{SEARCH}=6,budget=0.05",
    "L-infinity 0.1": f"pixel:linf,{SEARCH}=20,budget=0.1",
    "L2 1.0": f"pixel:l2,{SEARCH}=20,budget=1",
    "spatial 0.05": f"spatial:{SEARCH}=20,budget=0.05",
    "recolor 0.2": f"recolor:{SEARCH}=20,budget=0.2",
    "rotation 20": f"style:rotation,{SEARCH}=20,budget=20",
    "translation 5": f"style:translation,{SEARCH}=20,budget=5",
    "contrast 1": f"style:contrast,{SEARCH}=20,budget=1",
    "gamma 1": f"style:gamma,{SEARCH}=20,budget=1",
    "noise 3": "corruption:gaussian-noise,severity=3",
    "blur 3": "corruption:defocus-blur,severity=3",
    "fog 3": "corruption:fog,severity=3",
}
CLEAN = "clean"
AT_ONCE = 250  # images
LEVEL = 0.95

Table = dict[str, dict[str, dict[int, float]]]
"""Row -> column -> seed -> percent of the images."""


def main() -> None:
    asked = read_arguments()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    attacks = {**ATTACKS, **{spec: spec for spec in asked.perturb}}
    table: Table = {row: {} for row in asked.rows}
    for seed in asked.seeds:
        files = {row: train(row, seed, asked) for row in asked.rows}
        for row, file in files.items():
            table[row].setdefault(CLEAN, {})[seed] = clean_accuracy(file, asked)
        for row, column, percent in robust_accuracies(files, attacks, seed, asked):
            table[row].setdefault(column, {})[seed] = percent
        for row, file in files.items():
            table[row].setdefault("class changed", {})[seed] = class_changed(file)
    columns = [CLEAN, *attacks, "class changed"]
    print(f"\n{asked.labels or 'all'} labels, seeds {' '.join(map(str, asked.seeds))}: mean (lowest to highest), %\n")
    print_rows(columns, ([row, *(summary(table[row].get(c, {})) for c in columns)] for row in asked.rows))
    print(f"\nDifferences, mean and {LEVEL:.0%} interval over paired seeds, points\n")
    pairs = [pair for pair in COMPARED if table.keys() >= set(pair)]
    print_rows(columns[:-1], ([f"{a} against {b}", *differences(table[a], table[b], columns[:-1])] for a, b in pairs))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="parquet file of MNIST's training images")
    parser.add_argument("--test", type=Path, required=True, help="parquet file of its test images")
    parser.add_argument("--labels", type=int, default=300, help="labelled images to train on; 0 for all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--perturb", nargs="+", default=[], help="further perturbations that spend a budget")
    parser.add_argument("--steps", type=int, default=225, help="of each training, rounded up to whole epochs")
    parser.add_argument("--batch", type=int, default=32, help="real images of a step; as many are generated")
    parser.add_argument("--count", type=int, default=200, help="images of each attack")
    parser.add_argument("--clean", type=int, default=3000, help="test images of the clean accuracy")
    parser.add_argument("--classifier", default=CLASSIFIER)
    parser.add_argument("--out", type=Path, default=Path("runs/gat"))
    return parser.parse_args()


def train(row: str, seed: int, asked: argparse.Namespace) -> Path:
    """Run `granu train`, unless it is finished; it goes on if it was interrupted."""
    name = row.lower().replace(" + ", "-and-").replace(" ", "-")
    file = asked.out / f"{name}-{asked.labels or 'all'}-{seed}.safetensors"
    if file.exists():
        return file
    data, count = labelled_images(seed, asked)
    epochs = max(1, math.ceil(asked.steps / max(count // asked.batch, 1)))
    defenses = [word for spec in ROWS[row] for word in ("--defense", spec.replace("DATA", str(asked.data)))]
    settings = f"--batch {asked.batch} --epochs {epochs} --seed {seed} --hold-out 0 --device cpu --quiet"
    words = ["train", *defenses, "--classifier", asked.classifier, "--data", f"parquet:{data}", "--out", str(file)]
    subprocess.run([sys.executable, "-m", "granu", *words, *settings.split()], check=True, stdout=subprocess.DEVNULL)
    return file


def labelled_images(seed: int, asked: argparse.Namespace) -> tuple[Path, int]:
    """The file of labelled images of a seed, drawn at random from all, and their number."""
    import numpy as np
    import pyarrow.parquet

    everything = pyarrow.parquet.read_metadata(asked.data).num_rows
    if not asked.labels or asked.labels >= everything:
        return asked.data, everything
    file = asked.out / f"labelled-{asked.labels}-{seed}.parquet"
    if not file.exists():
        chosen = np.sort(np.random.default_rng(seed).permutation(everything)[: asked.labels])
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(asked.data).take(chosen), file)
    return file, asked.labels


def clean_accuracy(file: Path, asked: argparse.Namespace) -> float:
    """Percent of the first test images that are classified correctly; kept beside the file."""
    kept = file.with_suffix(f".clean-{asked.clean}.json")
    if not kept.exists():
        context = granu.BuildContext(granu.load_catalog())
        classifier = context.build("classifier", f"file:{file}").eval()
        data = context.build("dataset", f"parquet:{asked.test}")
        count = min(asked.clean, len(data))
        right = 0
        for start in range(0, count, AT_ONCE):
            images, labels = zip(*(data.read(i) for i in range(start, min(start + AT_ONCE, count))), strict=True)
            with torch.no_grad():
                right += int((classifier(torch.stack(images)).argmax(dim=1) == torch.tensor(labels)).sum())
        kept.write_text(json.dumps(100 * right / count))
    return float(json.loads(kept.read_text()))


def robust_accuracies(
    files: Mapping[str, Path], attacks: Mapping[str, str], seed: int, asked: argparse.Namespace
) -> Iterator[tuple[str, str, float]]:
    """Row, column and percent of the images that are classified correctly, clean and under the attack.

    Latents are those of images that the generator draws; other changes are of test images.
    """
    generators = granu.load_catalog().of_kind("generator")
    latent = {column: spec for column, spec in attacks.items() if spec.partition(":")[0] in generators}
    others = {column: spec for column, spec in attacks.items() if column not in latent}
    for name, chosen, data in (("latents", latent, None), ("images", others, f"parquet:{asked.test}")):
        if not chosen:
            continue
        run = granu.evaluate(
            list(chosen.values()),
            classifiers=[f"file:{file}" for file in files.values()],
            judges=[],
            data=data,
            count=asked.count,
            keep=0,
            out=asked.out / f"{name}-{asked.labels or 'all'}-{seed}",
        )
        for row, file in files.items():
            for column, spec in chosen.items():
                yield row, column, robust_accuracy(run, f"file:{file}", spec, asked.count)


def robust_accuracy(run: granu.Run, classifier: str, spec: str, count: int) -> float:
    """Percent of the first images that a classifier gets right clean and under a perturbation."""
    key = str(granu.parse_spec(spec))
    trials = [trial for trial in run.trials if (trial.classifier, trial.perturbation) == (classifier, key)][:count]
    return 100 * sum(trial.counts and trial.outcome != "found" for trial in trials) / len(trials)


def class_changed(file: Path) -> float:
    """Percent of changed training images in which the judge saw another class, over all epochs; NaN without a judge."""
    lines = file.with_suffix(".jsonl").read_text().splitlines()
    shares = [json.loads(line)["notes"].get("class changed", math.nan) for line in lines[1:]]
    return 100 * statistics.fmean(shares)


def summary(values: Mapping[int, float]) -> str:
    """Mean and range over seeds."""
    numbers = list(values.values())
    if not numbers or any(math.isnan(number) for number in numbers):
        return "–"
    mean = f"{statistics.fmean(numbers):.1f}"
    return mean if len(numbers) == 1 else f"{mean} ({min(numbers):.1f} to {max(numbers):.1f})"


def differences(
    one: Mapping[str, Mapping[int, float]], other: Mapping[str, Mapping[int, float]], columns: Sequence[str]
) -> Iterator[str]:
    """The difference of two rows in each column."""
    return (difference(one.get(column, {}), other.get(column, {})) for column in columns)


def difference(one: Mapping[int, float], other: Mapping[int, float]) -> str:
    """Mean difference over seeds that both have, and its interval by Student's t distribution."""
    from scipy.stats import t

    values = [one[seed] - other[seed] for seed in one if seed in other]
    if not values:
        return "–"
    mean = statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:+.1f}"
    half = float(t.ppf((1 + LEVEL) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]"


def print_rows(columns: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    """A table in Markdown."""
    print("| training | " + " | ".join(columns) + " |")
    print("|" + "---|" * (len(columns) + 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
