"""A stranger's network as a classifier: asked a few questions first, so that mistakes are message and not measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from granu import ClassifierError, ImageClassifier, OptionError
from granu_python import NetworkOptions

USUAL = (224, 224)  # what is tried where no size is named


def make_classifier(network: nn.Module, name: str, options: NetworkOptions) -> ImageClassifier:
    """The network with its input's size and normalisation. ClassifierError where its answers cannot be right."""
    size = read_size(options.size, name)
    first = next((m for m in network.modules() if not list(m.children())), network)
    if "normaliz" in type(first).__name__.lower() and (options.mean != (0.0,) or options.std != (1.0,)):
        raise ClassifierError(
            f"`{name}` begins with a {type(first).__name__}, so it normalises already; leave mean= and std= out"
        )
    if len(options.mean) not in (1, options.channels) or len(options.std) not in (1, options.channels):
        raise OptionError(f"`{name}`: mean= and std= need 1 or {options.channels} numbers each, joined by a plus")
    if 0.0 in options.std:
        raise OptionError(f"`{name}`: std= must not be 0")
    logits = _probe(network.eval(), name, options.channels, size or USUAL, given=size is not None)
    names = _class_names(network, options.classes)
    classes = tuple(map(str, range(logits.shape[1]))) if names is None else names
    if len(classes) != logits.shape[1]:
        raise ClassifierError(
            f"`{name}` has {logits.shape[1]} outputs but {len(classes)} classes are named; name one for each output"
        )
    return ImageClassifier(
        network,
        classes,
        channels=options.channels,
        size=size,
        fit=options.fit,
        mean=options.mean,
        std=options.std,
        name=name,
        named=names is not None,
    )


def read_size(text: str | None, where: str) -> tuple[int, int] | None:
    """ "224" or "28x32" as (height, width)."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise OptionError(f"`{where}`: size={text} is no size; write it like 224 or 28x32")
    return int(parts[0]), int(parts[-1])


def _probe(network: nn.Module, name: str, channels: int, size: tuple[int, int], *, given: bool) -> Tensor:
    """Logits of three images, after asking for them alone and together."""
    images = torch.rand(3, channels, *size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            together, alone = _logits(network(images)), _logits(network(images[:1]))
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        hint = "its batch size must be free" if given else "name the size it takes with size="
        raise ClassifierError(
            f"`{name}` fails on images of {channels} x {size[0]} x {size[1]} ({reason}); {hint}, "
            "and channels=1 for grey"
        ) from problem
    if together is None or alone is None or together.ndim != 2:
        raise ClassifierError(f"`{name}` must return logits (B, K), one row an image and one column a class")
    if not together.isfinite().all():
        raise ClassifierError(f"`{name}` gives NaN or infinite logits for images in [0, 1]; check its weights")
    if together.shape[1] < 2:
        raise ClassifierError(f"`{name}` has one output; two classes need two logits")
    if (together >= 0).all() and torch.allclose(together.sum(dim=1), torch.ones(3), atol=1e-3):
        raise ClassifierError(f"`{name}` gives probabilities; return what goes into its softmax instead")
    if (together[:1] - alone).abs().max() > 1e-2 * together.abs().max().clamp_min(1):
        raise ClassifierError(
            f"`{name}` answers differently when other images are in the batch, or from call to call; "
            "let its batch normalisation and dropout follow .eval()"
        )
    return together


def _logits(answer: object) -> Tensor | None:
    answer = getattr(answer, "logits", answer)  # Hugging Face wraps them
    return answer.float() if isinstance(answer, Tensor) else None


def _class_names(network: nn.Module, given: str | None) -> Sequence[str] | None:
    if given is None:
        own = getattr(network, "classes", None)
        return tuple(map(str, own)) if isinstance(own, list | tuple) else None
    file = Path(given).expanduser()
    if file.is_file():
        return tuple(line.strip() for line in file.read_text().splitlines() if line.strip())
    return tuple(given.replace("+", ",").split(","))
