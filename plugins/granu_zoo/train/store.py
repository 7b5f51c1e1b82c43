"""Writing of the weights to ship, in half precision and with a complete header."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from granu import BuildContext, WeightsHeader, load_catalog, read_weights_header, save_weights
from granu_zoo.train.data import read_images
from granu_zoo.train.measure import ATTACKED, BUDGETS, accuracy, robust_accuracy
from granu_zoo.trained_on import trained_on

__all__ = ["store", "store_classifier"]


def store_classifier(data: Path, file: Path, path: Path) -> str:
    """Write a classifier of the zoo that `granu train` made to `path`, and return the file's sha256.

    Its clean accuracy on the test images in the folder `data`, and its accuracy under PGD on the first of them, go
    into the header.
    """
    known, context = trained_on(path.stem), BuildContext(load_catalog())
    classifier = context.build("classifier", f"file:{file}").eval().requires_grad_(False)
    images, labels = read_images(data, known, "test")
    x = images.float() / 255
    log = {"clean accuracy": accuracy(classifier, x, labels)} | {
        f"accuracy under PGD-40 {budget}, {ATTACKED} images": robust_accuracy(
            classifier, x[:ATTACKED], labels[:ATTACKED], budget, context
        )
        for budget in BUDGETS[known.name]
    }
    config = dict(classifier.config)
    seed = read_weights_header(file, ("zoo",)).about["training"]["settings"]["seed"]
    recipe = f"granu train --config recipes/{path.stem}.toml --seed {seed}"
    return store(classifier.network, path, config.pop("network"), config, recipe, seed, log)


def store(
    network: nn.Module,
    path: Path,
    architecture: str,
    config: Mapping[str, Any],
    recipe: str,
    seed: int,
    log: Mapping[str, float],
) -> str:
    """Write the weights of `network` to `path`, whose name contains the dataset's, and return the file's sha256."""
    data = trained_on(path.stem)
    about = {
        "data": data.credit,
        "licence": data.licence,
        "recipe": recipe,
        "seed": seed,
        "log": dict(log),
    }
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    save_weights(path, state, WeightsHeader(architecture, config, data.classes, about))
    return hashlib.sha256(path.read_bytes()).hexdigest()
