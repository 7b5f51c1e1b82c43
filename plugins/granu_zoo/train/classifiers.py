"""Recipes of the classifiers: standard training, or adversarial training in pixels (Madry et al. 2018)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from granu_zoo.networks import NETWORKS
from granu_zoo.train.augment import AUGMENTATIONS
from granu_zoo.train.data import read_images
from granu_zoo.train.pgd import pgd, robust_accuracy
from granu_zoo.train.store import store
from granu_zoo.trained_on import trained_on

__all__ = ["RECIPES", "Recipe", "accuracy", "train_classifier"]

BATCH = 128
ATTACKED = 1000  # number of test images for the robust accuracy, the first ones
BUDGETS = {
    "mnist": (("l2", 1.0), ("l2", 2.0), ("linf", 0.1), ("linf", 0.3)),
    "cifar10": (("l2", 0.25), ("linf", 0.01)),
}


@dataclass(frozen=True)
class Recipe:
    """Training settings of one classifier; norm "none" is standard training."""

    architecture: str
    summary: str
    seed: int
    epochs: int
    norm: str = "none"  # "l2" or "linf"
    budget: float = 0.0
    steps: int = 0  # of the attack, for each training batch
    config: Mapping[str, int] = field(default_factory=dict)


RECIPES: Mapping[str, Recipe] = {
    "mnist-cnn": Recipe("mnist-cnn", "standard training", seed=1, epochs=20),
    "mnist-cnn-l2": Recipe(
        "mnist-cnn", "trained against pixel L2 at 2.0", seed=1, epochs=8, norm="l2", budget=2.0, steps=5
    ),
    "mnist-judge-resnet": Recipe("mnist-resnet", "standard training", seed=11, epochs=8),
    "mnist-judge-l2": Recipe(
        "mnist-large-kernel",
        "trained against pixel L2 at 1.5",
        seed=12,
        epochs=5,
        norm="l2",
        budget=1.5,
        steps=3,
    ),
    "mnist-judge-mixer": Recipe("mnist-mixer", "standard training", seed=13, epochs=8),
    "mnist-lenet": Recipe("mnist-lenet", "standard training", seed=3, epochs=6),
    "cifar10-resnet": Recipe("cifar10-resnet", "standard training", seed=21, epochs=12),
    "mnist-cnn-linf": Recipe(
        "mnist-cnn", "trained against L-infinity at 0.3", seed=2, epochs=7, norm="linf", budget=0.3, steps=5
    ),
}


def train_classifier(name: str, data: Path, out: Path, seed: int | None = None) -> Path:
    """Train and measure the classifier `name`, and write `out`/`name`.safetensors and `out`/`name`.txt."""
    recipe = RECIPES[name]
    seed = recipe.seed if seed is None else seed
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    log = out / f"{name}.txt"
    log.write_text(f"{name}: {recipe}\n")

    def write_log(line: str) -> None:
        print(line, flush=True)
        with log.open("a") as file:
            file.write(line + "\n")

    classifier = NETWORKS[recipe.architecture](**recipe.config)
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train, test = (read_images(data, trained_on(name), part) for part in ("train", "test"))
    fit(classifier, recipe, *train, write_log)

    # measure the weights as stored, in half precision
    classifier = copy.deepcopy(classifier).half().float().eval().requires_grad_(False)
    numbers = measure(classifier, *test, BUDGETS[trained_on(name).name])
    for key, value in numbers.items():
        write_log(f"{key} {value:.4f}")
    path = out / f"{name}.safetensors"
    command = f"python -m granu_zoo.train {name} --seed {seed}"
    sha256 = store(classifier, path, recipe.architecture, recipe.config, command, seed, numbers)
    write_log(f"sha256 {sha256}")
    return path


def fit(
    classifier: nn.Module, recipe: Recipe, images: Tensor, labels: Tensor, write_log: Callable[[str], None]
) -> None:
    """Train in place on images (N, C, 32, 32) uint8; `write_log` takes one line."""
    augment = AUGMENTATIONS[trained_on(recipe.architecture).name]
    steps = recipe.epochs * (len(labels) // BATCH)
    optimiser = torch.optim.AdamW(classifier.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.003, total_steps=steps)
    started, done = time.time(), 0
    for epoch in range(recipe.epochs):
        losses = []
        for chosen in torch.randperm(len(labels)).split(BATCH)[: len(labels) // BATCH]:
            x = augment(images[chosen].float() / 255).contiguous(memory_format=torch.channels_last)
            y = labels[chosen]
            if recipe.norm != "none":
                # the budget grows over the first third, because training does not start at the full budget
                budget = recipe.budget * min(1.0, 3 * (done + 1) / steps)
                with torch.autocast("cpu", torch.bfloat16):
                    x = pgd(classifier, x, y, recipe.norm, budget, recipe.steps)
            classifier.train()
            with torch.autocast("cpu", torch.bfloat16):
                logits = classifier(x)
            loss = F.cross_entropy(logits.float(), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            done += 1
            if done % 100 == 0:
                print(f"step {done}/{steps} loss {losses[-1]:.4f}", flush=True)
        write_log(f"epoch {epoch + 1} loss {sum(losses) / len(losses):.4f} seconds {time.time() - started:.0f}")


def measure(
    classifier: nn.Module, images: Tensor, labels: Tensor, budgets: Sequence[tuple[str, float]]
) -> dict[str, float]:
    """Measure clean accuracy on all images, and accuracy under 40 steps of PGD on the first thousand."""
    x = images.float() / 255
    numbers = {"clean accuracy": accuracy(classifier, x, labels)}
    for norm, budget in budgets:
        torch.manual_seed(0)
        value = robust_accuracy(classifier, x[:ATTACKED], labels[:ATTACKED], norm, budget)
        numbers[f"accuracy under PGD-40 {norm} {budget}, {ATTACKED} images"] = value
    return numbers


def accuracy(classifier: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images (N, C, H, W) in [0, 1] that are classified as their labels (N,)."""
    with torch.no_grad():
        correct = [
            (classifier(x).argmax(dim=1) == y).sum() for x, y in zip(images.split(500), labels.split(500), strict=True)
        ]
    return int(sum(correct)) / len(labels)
