"""Classifiers from networks of transformers, with the preprocessing of their image processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from granu import ClassifierError, ImageClassifier, WeightsError
from granu_hf import HfOptions
from granu_hf.processing import read_cropping


def make_classifier(options: HfOptions) -> ImageClassifier:
    """Load a network with its processor's mean, std, size and crop, and its own class names."""
    transformers, name = _import_transformers(options.model), f"hf:{options.model}"
    network = _fetch(
        lambda: transformers.AutoModelForImageClassification.from_pretrained(
            options.model, revision=options.revision or "main"
        ),
        options.model,
    )
    file = _fetch(
        lambda: transformers.utils.cached_file(
            options.model, "preprocessor_config.json", revision=options.revision or "main"
        ),
        options.model,
    )
    processor: dict[str, Any] = json.loads(Path(file).read_text())
    normalises = processor.get("do_normalize", True)
    labels = [str(network.config.id2label[number]) for number in range(network.config.num_labels)]
    return ImageClassifier(
        network,
        labels,
        cropping=read_cropping(processor, name),
        channels=getattr(network.config, "num_channels", 3),
        mean=processor["image_mean"] if normalises else (0.0,),
        std=processor["image_std"] if normalises else (1.0,),
        name=name,
        named=labels != [f"LABEL_{number}" for number in range(len(labels))],  # the labels of a config without names
    )


def _import_transformers(model: str) -> Any:
    try:
        import transformers  # type: ignore[import-not-found, unused-ignore]
        import transformers.utils  # type: ignore[import-not-found, unused-ignore]

        transformers.AutoModelForImageClassification  # noqa: B018  transformers imports lazily
    except (ImportError, RuntimeError) as problem:  # a torchvision built for another torch
        reason = str(problem).splitlines()[0]
        raise ClassifierError(
            f"`hf:{model}` cannot be used: importing transformers fails ({reason}); install the torchvision that "
            "matches your torch, or none"
        ) from problem
    return transformers


def _fetch(get: Any, model: str) -> Any:
    try:
        return get()
    except (OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise WeightsError(
            f"`hf:{model}` cannot be loaded ({reason}); without network access, download it before with: "
            f"hf download {model}"
        ) from problem
