"""Classifiers from users' networks, which are tried on random images first to detect common mistakes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from granu import (
    ClassifierError,
    ClassNames,
    ImageClassifier,
    OptionError,
    numbered_classes,
    read_class_names,
    read_size,
)
from granu_python import NetworkOptions

DEFAULT_SIZE = (224, 224)  # of the random images, if the network takes any size


def make_classifier(network: nn.Module, name: str, options: NetworkOptions) -> ImageClassifier:
    """Wrap a network with its input size and normalisation. ClassifierError if its outputs cannot be logits."""
    size = read_size(options.size, name)
    first = next((m for m in network.modules() if not list(m.children())), network)
    if "normaliz" in type(first).__name__.lower() and (options.mean != (0.0,) or options.std != (1.0,)):
        raise ClassifierError(
            f"`{name}` begins with a {type(first).__name__}, so it normalises its input; remove mean= and std="
        )
    if len(options.mean) not in (1, options.channels) or len(options.std) not in (1, options.channels):
        raise OptionError(f"`{name}`: mean= and std= need 1 or {options.channels} numbers each, joined by plus")
    if 0.0 in options.std:
        raise OptionError(f"`{name}`: std= must not be 0")
    logits = _probe(network.eval(), name, options.channels, size or DEFAULT_SIZE, given=size is not None)
    classes = _class_names(network, options.classes) or numbered_classes(logits.shape[1])
    if len(classes) != logits.shape[1]:
        raise ClassifierError(
            f"`{name}` has {logits.shape[1]} outputs but {len(classes)} class names; give one name for each output"
        )
    return ImageClassifier(
        network,
        classes.names,
        channels=options.channels,
        size=size,
        fit=options.fit,
        mean=options.mean,
        std=options.std,
        name=name,
        named=classes.named,
    )


def _probe(network: nn.Module, name: str, channels: int, size: tuple[int, int], *, given: bool) -> Tensor:
    """Check the outputs for three random images, together and alone, and return the logits (3, K)."""
    images = torch.rand(3, channels, *size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            together, alone = _logits(network(images)), _logits(network(images[:1]))
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        hint = "it must accept any batch size" if given else "set its input size with size="
        raise ClassifierError(
            f"`{name}` fails on images of {channels} x {size[0]} x {size[1]} ({reason}); {hint}, "
            "and channels=1 if it takes grey images"
        ) from problem
    if together is None or alone is None or together.ndim != 2:
        raise ClassifierError(f"`{name}` must return logits (B, K), one row per image and one column per class")
    if not together.isfinite().all():
        raise ClassifierError(f"`{name}` gives NaN or infinite logits for images in [0, 1]; check its weights")
    if together.shape[1] < 2:
        raise ClassifierError(f"`{name}` has a single output; two classes need two logits")
    if (together >= 0).all() and torch.allclose(together.sum(dim=1), torch.ones(3), atol=1e-3):
        raise ClassifierError(f"`{name}` returns probabilities; return the logits, before softmax")
    if (together[:1] - alone).abs().max() > 1e-2 * together.abs().max().clamp_min(1):
        raise ClassifierError(
            f"`{name}` gives other outputs when other images are in the batch, or when called again; "
            "make its batch normalisation and dropout respect .eval()"
        )
    return together


def _logits(output: object) -> Tensor | None:
    output = getattr(output, "logits", output)  # Hugging Face wraps them
    return output.float() if isinstance(output, Tensor) else None


def _class_names(network: nn.Module, given: str | None) -> ClassNames | None:
    if given is not None:
        return read_class_names(given)
    own = getattr(network, "classes", None)
    return ClassNames(tuple(map(str, own))) if isinstance(own, list | tuple) else None
