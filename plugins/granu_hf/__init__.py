"""Plugin module of granu_hf: the image classifiers of Hugging Face transformers."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from granu import ClassifierError, ClassifierOffer, OptionError, hookimpl, option, read_class_names

if TYPE_CHECKING:
    from torch import nn

    from granu import BuildContext, ImageClassifier


@dataclass(frozen=True)
class HfOptions:
    """Options of `hf:`."""

    model: str = option("", "name on the hub, or folder")
    revision: str | None = option(None, "branch, tag or commit on the hub")
    init: str = option(
        "pretrained", "whether weights are loaded, or drawn for a training", choices=("pretrained", "random")
    )
    classes: str | None = option(
        None,
        "class names joined by plus, a file with one per line, or their number; by default those of the model. For "
        "another number of classes than the weights have, the last layer is new and must be trained",
    )


def check(options: HfOptions, context: BuildContext) -> None:
    """Check that a model is named and transformers is installed."""
    if not options.model:
        raise OptionError("`hf` names no model; write it like hf:microsoft/resnet-50 or hf:FOLDER")
    if importlib.util.find_spec("transformers") is None:
        raise ClassifierError(f"`hf:{options.model}` needs transformers; install it with pip install 'granu[hf]'")
    if options.classes is not None:
        read_class_names(options.classes)


def make(options: HfOptions, context: BuildContext) -> ImageClassifier:
    from granu_hf.building import make_classifier

    return make_classifier(options)


def network(config: Mapping[str, Any], context: BuildContext) -> nn.Module:
    from granu_hf.rebuilding import build_network

    return build_network(config)


@hookimpl
def granu_classifiers() -> Sequence[ClassifierOffer]:
    return [
        ClassifierOffer(
            name="hf",
            summary="an image classifier of Hugging Face transformers",
            options=HfOptions,
            target="model",
            make=make,
            check=check,
            network=network,
            licence="that of the weights",
            cite=("Wolf et al.: Transformers: state-of-the-art natural language processing. EMNLP 2020",),
        )
    ]
