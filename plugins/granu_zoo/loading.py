"""Classifiers from weights files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from granu import ImageClassifier, WeightsError, load_strictly, read_tensors, read_weights_header
from granu_zoo import ARCHITECTURES
from granu_zoo.networks import NETWORKS
from granu_zoo.trained_on import trained_on

if TYPE_CHECKING:
    from granu import BuildContext


def make_classifier(model: str, context: BuildContext) -> ImageClassifier:
    """Load a classifier of the zoo by name, or other weights of its architectures by path."""
    return load_classifier(context.weights(model), model).to(context.device)


def load_classifier(file: Path, name: str) -> ImageClassifier:
    """Build the network that the header describes, and load the weights strictly."""
    header = read_weights_header(file, ARCHITECTURES)
    try:
        network = NETWORKS[header.architecture](**header.config)
    except TypeError as problem:
        raise WeightsError(f"the header of {file} does not describe a {header.architecture}: {problem}") from None
    load_strictly(network, read_tensors(file), file)
    channels = trained_on(header.architecture).channels
    fit = "pad" if channels == 1 else "resize"
    return ImageClassifier(network, header.classes, channels=channels, size=(32, 32), fit=fit, name=f"zoo:{name}")
