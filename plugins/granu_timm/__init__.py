"""Plugin module of granu_timm: the image classifiers of PyTorch Image Models."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from granu import ClassifierError, ClassifierOffer, OptionError, hookimpl, option, read_class_names, read_size

if TYPE_CHECKING:
    from torch import nn

    from granu import BuildContext, ImageClassifier


@dataclass(frozen=True)
class TimmOptions:
    """Options of `timm:`."""

    model: str = option("", "name from timm.list_models(), with or without the tag of its weights")
    weights: str | None = option(None, "file with other weights, .safetensors or .pth; by default timm's")
    init: str = option(
        "pretrained", "whether weights are loaded, or drawn for a training", choices=("pretrained", "random")
    )
    classes: str | None = option(
        None,
        "class names joined by plus, a file with one per line, or their number; by default ImageNet's WordNet ids. For "
        "another number of classes than the weights have, the last layer is new and must be trained",
    )
    size: str | None = option(None, "input size, like 32 or 64x48; by default that of the weights, with their crop")
    channels: int = option(3, "input channels: 1 for grey, 3 for colour", low=1, high=3)


def check(options: TimmOptions, context: BuildContext) -> None:
    """Check that a model is named, timm is installed and the weights exist."""
    if not options.model:
        raise OptionError("`timm` names no model; write it like timm:resnet50.a1_in1k")
    if importlib.util.find_spec("timm") is None:
        raise ClassifierError(f"`timm:{options.model}` needs timm; install it with pip install 'granu[timm]'")
    if options.channels == 2:
        raise OptionError(f"`timm:{options.model}`: channels=2 fits no images; give 1 for grey or 3 for colour")
    if options.classes is not None:
        read_class_names(options.classes)
    if options.size is not None:
        read_size(options.size, f"timm:{options.model}")
    if options.weights is not None:
        if options.init == "random":
            raise OptionError(f"`timm:{options.model}`: init=random loads no weights; leave out weights= or init=")
        context.locate(options.weights)


def make(options: TimmOptions, context: BuildContext) -> ImageClassifier:
    from granu_timm.building import make_classifier

    return make_classifier(options, context)


def network(config: Mapping[str, Any], context: BuildContext) -> nn.Module:
    from granu_timm.rebuilding import build_network

    return build_network(config)


@hookimpl
def granu_classifiers() -> Sequence[ClassifierOffer]:
    return [
        ClassifierOffer(
            name="timm",
            summary="a network of PyTorch Image Models",
            options=TimmOptions,
            target="model",
            make=make,
            check=check,
            network=network,
            licence="that of the weights",
            cite=("Wightman: PyTorch Image Models. 2019, doi:10.5281/zenodo.4414861",),
        )
    ]
