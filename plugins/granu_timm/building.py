"""Classifiers from networks of timm, with the preprocessing of their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from granu import (
    BuildContext,
    ClassifierError,
    ClassNames,
    Cropping,
    ImageClassifier,
    UnknownName,
    WeightsError,
    as_state_dict,
    is_safetensors,
    load_strictly,
    numbered_classes,
    read_all,
    read_class_names,
    read_size,
    read_tensors,
    read_torch_file,
)
from granu_timm import TimmOptions
from granu_timm.rebuilding import arguments_of, describe_network, import_timm


def make_classifier(options: TimmOptions, context: BuildContext) -> ImageClassifier:
    """Create a network with its own mean, std, size, interpolation, crop and class names."""
    name = f"timm:{options.model}"
    timm = import_timm(name)
    if ":" not in options.model and not timm.is_model(options.model):
        raise UnknownName("model", options.model, timm.list_models(), name)
    given = None if options.classes is None else read_class_names(options.classes)
    size = None if options.size is None else read_size(options.size, name)
    network = _create(timm, options, None if given is None else len(given), size)
    if options.weights is not None:
        file = context.weights(options.weights)
        load_strictly(network, read_state(file), file)
    classes = given or _known_names(timm, network)
    data = timm.data.resolve_model_data_config(network)
    return ImageClassifier(
        network,
        classes.names,
        channels=options.channels,
        mean=_of_channels(data["mean"], options.channels),
        std=_of_channels(data["std"], options.channels),
        **({"cropping": _cropping(data)} if size is None else {"size": size}),
        name=name,
        named=classes.named,
        architecture="timm",
        config=describe_network(network, len(classes), options.channels, size),
    )


def _cropping(data: Mapping[str, Any]) -> Cropping:
    _, height, width = data["input_size"]
    box = (math.floor(height / data["crop_pct"]), math.floor(width / data["crop_pct"]))
    return Cropping((height, width), box, data["interpolation"], squash=data["crop_mode"] == "squash")


def _of_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """One number per channel: for grey, the mean of those of the colours."""
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def read_state(file: Path) -> Mapping[str, Tensor]:
    """Read the tensors of a safetensors or .pth file, without running code in it."""
    if is_safetensors(file):
        return read_tensors(file)
    content: Any = read_torch_file(file)
    for key in ("state_dict", "model"):  # as training scripts wrap them
        content = content.get(key, content) if isinstance(content, dict) else content
    return read_all(as_state_dict(content, file), file)


def _create(timm: Any, options: TimmOptions, outputs: int | None, size: tuple[int, int] | None) -> nn.Module:
    pretrained = options.weights is None and options.init == "pretrained"
    try:
        arguments = arguments_of(timm, options.model, outputs, options.channels, size)
        return timm.create_model(options.model, pretrained=pretrained, **arguments)
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        if not pretrained:
            raise ClassifierError(f"`timm:{options.model}` cannot be built: {reason}") from problem
        raise WeightsError(
            f"the weights of `timm:{options.model}` cannot be loaded ({reason}); without network access, download them "
            f"before with: hf download timm/{options.model}, name a file with weights=, or train from init=random"
        ) from problem


def _known_names(timm: Any, network: Any) -> ClassNames:
    subset = timm.data.infer_imagenet_subset(network)
    if subset is None:
        return numbered_classes(network.num_classes)
    return ClassNames(tuple(timm.data.ImageNetInfo(subset).label_names()))
