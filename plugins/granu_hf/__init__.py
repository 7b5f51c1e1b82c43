"""Plugin module of granu_hf: the image classifiers of Hugging Face transformers."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granu import ClassifierError, ClassifierOffer, OptionError, hookimpl, option

if TYPE_CHECKING:
    from granu import BuildContext, ImageClassifier


@dataclass(frozen=True)
class HfOptions:
    """Options of `hf:`."""

    model: str = option("", "name on the hub, or folder")
    revision: str | None = option(None, "branch, tag or commit on the hub")


def check(options: HfOptions, context: BuildContext) -> None:
    """Check that a model is named and transformers is installed."""
    if not options.model:
        raise OptionError("`hf` names no model; write it like hf:microsoft/resnet-50 or hf:FOLDER")
    if importlib.util.find_spec("transformers") is None:
        raise ClassifierError(f"`hf:{options.model}` needs transformers; install it with pip install 'granu[hf]'")


def make(options: HfOptions, context: BuildContext) -> ImageClassifier:
    from granu_hf.building import make_classifier

    return make_classifier(options)


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
            licence="that of the weights",
            cite=("Wolf et al.: Transformers: state-of-the-art natural language processing. EMNLP 2020",),
        )
    ]
