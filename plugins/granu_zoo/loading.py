"""The zoo's classifiers: from weights files, or with random weights to be trained."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from granu import (
    ClassNames,
    ImageClassifier,
    WeightsError,
    build_strictly,
    numbered_classes,
    read_class_names,
    read_tensors,
    read_weights_header,
    shown,
    suggest,
)
from granu_zoo import ARCHITECTURES, ZooOptions
from granu_zoo.networks import NETWORKS

if TYPE_CHECKING:
    from granu import BuildContext

SIZE = (32, 32)  # of the images of all networks
LARGEST = 100_000  # of the numbers that configure a network


def make_classifier(options: ZooOptions, context: BuildContext) -> ImageClassifier:
    """Load a classifier of the zoo by name, or other weights of its architectures by path."""
    return load_classifier(context.weights(options.model), options.model).to(context.device)


def load_classifier(file: Path, name: str) -> ImageClassifier:
    """Build the network that the header describes, and load the weights strictly."""
    header = read_weights_header(file, ARCHITECTURES)
    config = {"network": header.architecture, **header.config}
    network = build_strictly(lambda: build_network(config, f"the header of {file}"), read_tensors(file), file)
    return _wrap(network, config, ClassNames(header.classes), name)


def make_untrained(options: ZooOptions, context: BuildContext) -> ImageClassifier:
    """Draw random weights, from torch's global generator, for an architecture or for that of some weights."""
    classes = None if options.classes is None else read_class_names(options.classes)
    config: dict[str, Any] = {"network": options.model}
    if options.model not in NETWORKS:
        header = read_weights_header(context.locate(options.model), ARCHITECTURES)
        classes = classes or ClassNames(header.classes)
        config = {"network": header.architecture, **header.config}
    config["classes"] = len(classes or numbered_classes(config.get("classes", 10)))
    if options.channels is not None:
        config["channels"] = options.channels
    names = classes or numbered_classes(config["classes"])
    return _wrap(build_network(config), config, names, options.model).to(context.device)


def build_network(config: Mapping[str, Any], where: str = "a config") -> nn.Module:
    """Build an untrained network. WeightsError unless `config` is the name of a network and numbers that it takes."""
    name = config.get("network")
    if not isinstance(name, str) or name not in NETWORKS:
        raise WeightsError(f"{where} names no network of the zoo; {suggest(shown(name), NETWORKS)}")
    known = inspect.signature(NETWORKS[name]).parameters
    numbers = {key: value for key, value in config.items() if key != "network"}
    for key, value in numbers.items():
        if key not in known:
            raise WeightsError(
                f"{where} does not describe a {name}: it has no '{shown(key)}'; {suggest(shown(key), known)}"
            )
        if type(value) is not int or not 1 <= value <= LARGEST:
            raise WeightsError(f"{where} does not describe a {name}: its {key} is not a number from 1 to {LARGEST}")
    return NETWORKS[name](**numbers)


def _wrap(network: nn.Module, config: Mapping[str, Any], classes: ClassNames, name: str) -> ImageClassifier:
    channels = config.get("channels", inspect.signature(type(network)).parameters["channels"].default)
    return ImageClassifier(
        network,
        classes.names,
        channels=channels,
        size=SIZE,
        fit="pad" if channels == 1 else "resize",
        name=f"zoo:{name}",
        named=classes.named,
        architecture="zoo",
        config=config,
    )
