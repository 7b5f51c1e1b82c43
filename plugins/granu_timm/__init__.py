"""Plugin module of granu_timm: the image classifiers of PyTorch Image Models."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu import ClassifierError, ClassifierOffer, OptionError, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, ImageClassifier


@dataclass(frozen=True)
class TimmOptions:
    """Options of `timm:`."""

    model: str = option("", "name from timm.list_models(), with or without the tag of its weights")
    weights: str | None = option(None, "file with other weights, .safetensors or .pth; by default timm's")
    classes: str | None = option(
        None, "class names joined by plus, or a file with one per line; by default ImageNet's WordNet ids"
    )


def check(options: TimmOptions, context: BuildContext) -> None:
    """Check that a model is named, timm is installed and the weights exist."""
    if not options.model:
        raise OptionError("`timm` names no model; write it like timm:resnet50.a1_in1k")
    if importlib.util.find_spec("timm") is None:
        raise ClassifierError(f"`timm:{options.model}` needs timm; install it with pip install 'granu[timm]'")
    if options.weights is not None:
        context.locate(options.weights)


def make(options: TimmOptions, context: BuildContext) -> ImageClassifier:
    from granu_timm.building import make_classifier

    return make_classifier(options, context)


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
            licence="that of the weights",
            cite=("Wightman: PyTorch Image Models. 2019, doi:10.5281/zenodo.4414861",),
        )
    ]
