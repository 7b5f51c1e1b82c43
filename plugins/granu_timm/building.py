"""Classifiers from networks of timm, with the preprocessing of their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from granu import (
    BuildContext,
    ClassifierError,
    Cropping,
    ImageClassifier,
    UnknownName,
    WeightsError,
    as_state_dict,
    is_safetensors,
    load_strictly,
    read_all,
    read_tensors,
    read_torch_file,
)
from granu_timm import TimmOptions


def make_classifier(options: TimmOptions, context: BuildContext) -> ImageClassifier:
    """Create a network with its own mean, std, size, interpolation, crop and class names."""
    timm = _import_timm(options.model)
    names = read_names(options.classes)
    if ":" not in options.model and not timm.is_model(options.model):
        raise UnknownName("model", options.model, timm.list_models(), f"timm:{options.model}")
    network = _create(timm, options, None if names is None else len(names))
    if options.weights is not None:
        file = context.weights(options.weights)
        load_strictly(network, read_state(file), file)
    data = timm.data.resolve_model_data_config(network)
    channels, height, width = data["input_size"]
    box = (math.floor(height / data["crop_pct"]), math.floor(width / data["crop_pct"]))
    cropping = Cropping((height, width), box, data["interpolation"], squash=data["crop_mode"] == "squash")
    names = names or _known_names(timm, network)
    return ImageClassifier(
        network,
        names or _numbers(network),
        channels=channels,
        cropping=cropping,
        mean=data["mean"],
        std=data["std"],
        name=f"timm:{options.model}",
        named=names is not None,
    )


def read_names(given: str | None) -> tuple[str, ...] | None:
    """Read class names from a file with one per line, or from a text joined by plus."""
    if given is None:
        return None
    file = Path(given).expanduser()
    if file.is_file():
        return tuple(line.strip() for line in file.read_text().splitlines() if line.strip())
    return tuple(given.replace("+", ",").split(","))


def read_state(file: Path) -> Mapping[str, Tensor]:
    """Read the tensors of a safetensors or .pth file, without running code in it."""
    if is_safetensors(file):
        return read_tensors(file)
    content: Any = read_torch_file(file)
    for key in ("state_dict", "model"):  # as training scripts wrap them
        content = content.get(key, content) if isinstance(content, dict) else content
    return read_all(as_state_dict(content, file), file)


def _import_timm(model: str) -> Any:
    try:
        import timm  # type: ignore[import-not-found, import-untyped, unused-ignore]
        import timm.data  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except (ImportError, RuntimeError, AttributeError) as problem:  # a torchvision built for another torch
        raise ClassifierError(
            f"`timm:{model}` cannot be used: importing timm fails ({problem}); "
            "install the torchvision that matches your torch"
        ) from problem
    return timm


def _create(timm: Any, options: TimmOptions, outputs: int | None) -> nn.Module:
    own = options.weights is not None
    how = {} if outputs is None else {"num_classes": outputs}
    try:
        return timm.create_model(options.model, pretrained=not own, **how)
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise WeightsError(
            f"the weights of `timm:{options.model}` cannot be loaded ({reason}); without network access, download them "
            f"before with: hf download timm/{options.model}, or name a file with weights="
        ) from problem


def _numbers(network: Any) -> tuple[str, ...]:
    return tuple(map(str, range(network.num_classes)))


def _known_names(timm: Any, network: Any) -> tuple[str, ...] | None:
    subset = timm.data.infer_imagenet_subset(network)
    return None if subset is None else tuple(timm.data.ImageNetInfo(subset).label_names())
