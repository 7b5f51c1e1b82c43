"""Models and images given from Python, presented to the core as if a plugin offered them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from granu.errors import ClassifierError, DataError, OptionError
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import Catalog, Entry, Resolved
from granu.plugins.context import BuildContext
from granu.plugins.offers import AnyOffer, ClassifierOffer, DatasetOffer
from granu.plugins.options import NoOptions
from granu.plugins.spec import Spec, parse_spec
from granu.runs.judge import fails_on
from granu.types import Dataset


@dataclass(frozen=True)
class Give:
    """The `make` of an offer for a thing that exists already; picklable where the thing is."""

    thing: Any

    def __call__(self, options: NoOptions, context: BuildContext) -> Any:
        return self.thing


@dataclass(frozen=True)
class Preparation:
    """Options with which a bare network is wrapped: see `granu.attack` for mean, std and classes."""

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    classes: Sequence[str] | None = None


def resolve_classifiers(
    catalog: Catalog, given: Any, sample: Tensor | None, preparation: Preparation
) -> tuple[Resolved, ...]:
    """Classifiers given as a spec, a model, a list of specs, or a dict from names to models or specs.

    `sample` is an image (C, H, W), by which a bare network tells how many outputs it has.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Mapping):
        named = dict(given)
    elif isinstance(given, list | tuple):
        named = {one if isinstance(one, str) else f"model{i}": one for i, one in enumerate(given)}
    else:
        named = {"model": given}
    return tuple(_resolve(catalog, name, model, sample, preparation) for name, model in named.items())


def _resolve(catalog: Catalog, name: str, model: Any, sample: Tensor | None, preparation: Preparation) -> Resolved:
    if isinstance(model, str):
        resolved = catalog.resolve("classifier", parse_spec(model))
        return resolved if name == model else Resolved(Spec(name), resolved.entry, resolved.options)
    wrapped: Any = model if _is_classifier(model) else _wrap(name, model, sample, preparation)
    return resolve_thing(ClassifierOffer(name=name, summary="given from Python", make=Give(wrapped)))


def resolve_thing(offer: AnyOffer) -> Resolved:
    """An offer as the plan wants it, with no options to choose."""
    return Resolved(Spec(offer.name), Entry(offer.name, offer, "given from Python", "", ""), NoOptions())


def resolve_images(dataset: Dataset) -> Resolved:
    """A dataset as the plan wants it."""
    return resolve_thing(DatasetOffer(name="images", summary="given from Python", make=Give(dataset)))


def device_of(model: Any) -> str | None:
    """The device of a model's first parameter; None where it has none."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return None if parameter is None else str(parameter.device)


def _is_classifier(model: Any) -> bool:
    """Test for the protocol `granu.Classifier`."""
    return callable(model) and hasattr(model, "classes") and hasattr(model, "layers")


def _wrap(name: str, model: Any, sample: Tensor | None, preparation: Preparation) -> ImageClassifier:
    if not callable(model):
        raise ClassifierError(f"'{name}' is a {type(model).__name__}; give a torch.nn.Module, a function, or a spec")
    network = _copied(name, model) if isinstance(model, nn.Module) else _Function(model)
    mean, std = _per_channel(preparation.mean, 0.0), _per_channel(preparation.std, 1.0)
    _check_channels("mean", mean, sample)
    _check_channels("std", std, sample)
    channels = len(mean) if len(mean) > 1 else None
    classes = preparation.classes
    if classes is None:
        classes = tuple(map(str, range(_outputs(name, network, sample, mean, std))))
    named = preparation.classes is not None
    return ImageClassifier(network, classes, channels=channels, mean=mean, std=std, name=name, named=named)


def _per_channel(values: Sequence[float] | None, default: float) -> tuple[float, ...]:
    return (default,) if values is None else tuple(float(value) for value in values)


def _check_channels(what: str, values: Sequence[float], sample: Tensor | None) -> None:
    if sample is not None and len(sample) > 1 and len(values) not in (1, len(sample)):
        raise OptionError(
            f"{what}= has {len(values)} values for images of {len(sample)} channels; give one for each, or one for all"
        )


class _Function(nn.Module):
    """A function from images to logits as a network without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


def _copied(name: str, model: nn.Module) -> nn.Module:
    """A copy, because evaluation freezes a network, which would surprise somebody who goes on training it."""
    try:
        return copy.deepcopy(model).eval()
    except RuntimeError as problem:
        raise ClassifierError(
            f"'{name}' cannot be copied ({problem}); wrap it as granu.ImageClassifier(model, classes), "
            "which is evaluated as it is"
        ) from problem


def _outputs(name: str, network: nn.Module, sample: Tensor | None, mean: Sequence[float], std: Sequence[float]) -> int:
    if sample is None:
        raise OptionError(f"'{name}' needs names for its outputs when no images are given; name them with classes=")
    shape = (-1, 1, 1)
    parameter = next(network.parameters(), sample)
    image = (sample - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    try:
        with torch.no_grad():
            logits = network(image[None].to(parameter.device))
    except RuntimeError as problem:  # torch's for a shape that a layer does not take
        raise fails_on(name, image[None], problem) from problem
    logits = getattr(logits, "logits", logits)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ClassifierError(f"'{name}' gave a {type(logits).__name__} for an image, not logits of shape (1, classes)")
    return logits.shape[1]


class MemoryDataset:
    """Images and class numbers in memory, in the order given. Labels are numbers: they name no classes."""

    named = False
    in_order = True

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise DataError(f"images must be (N, C, H, W) with 1 or 3 channels, not {tuple(images.shape)}")
        images = images.detach().cpu()
        images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        if not len(images):
            raise DataError("there are no images")
        if not images.isfinite().all() or images.min() < 0 or images.max() > 1:
            raise DataError(
                f"images must lie in [0, 1], not {images.min():.3g} to {images.max():.3g}; undo their normalisation "
                "and give it as mean= and std="
            )
        labels = labels.detach().cpu().reshape(-1)
        if labels.is_floating_point() or len(labels) != len(images):
            raise DataError(f"labels must be {len(images)} class numbers, one for each image")
        if labels.min() < 0:
            raise DataError(f"labels must be class numbers from 0, not {int(labels.min())}")
        self.images, self.labels = images, labels
        self.classes: Sequence[str] = tuple(map(str, range(int(labels.max()) + 1)))

    def __len__(self) -> int:
        return len(self.images)

    def image_id(self, index: int) -> str:
        """`image#0`, `image#1`, ..."""
        return f"image#{index}"

    def read(self, index: int) -> tuple[Tensor, int]:
        """Image (C, H, W) in [0, 1] and its class number."""
        return self.images[index], int(self.labels[index])


def given_dataset(images: Any, labels: Any = None, most: int | None = None) -> Dataset:
    """A dataset from images and labels, from a loader of such batches, or a dataset as it is.

    A dataset of torch, indexed by position, is read like a loader of single images. Of a loader only as many batches
    are read as hold `most` images.
    """
    if isinstance(images, Dataset):
        return images
    if labels is None and isinstance(images, tuple) and len(images) == 2 and isinstance(images[0], Tensor):
        images, labels = images
    if isinstance(images, Tensor):
        if labels is None:
            raise DataError("images need labels; give their class numbers")
        return MemoryDataset(images, torch.as_tensor(labels))
    if labels is None and not isinstance(images, Iterable) and _is_indexed(images):
        return _from_loader(map(images.__getitem__, range(len(images))), most)
    if not isinstance(images, Iterable) or labels is not None:
        raise DataError(
            f"images must be a tensor, a loader of (images, labels), or a dataset; not {type(images).__name__}"
        )
    return _from_loader(images, most)


def _is_indexed(images: Any) -> bool:
    """Test for a dataset as torch defines it: it has a length and gives items by position."""
    return hasattr(images, "__len__") and hasattr(images, "__getitem__")


def _from_loader(loader: Iterable[Any], most: int | None) -> MemoryDataset:
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in loader:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise DataError("a loader must give (images, labels); this one gives something else")
        image, label = torch.as_tensor(batch[0]), torch.as_tensor(batch[1])
        images.append(image if image.ndim == 4 else image[None])
        labels.append(label.reshape(-1))
        if most is not None and sum(map(len, labels)) >= most:
            break
    if not images:
        raise DataError("there are no images")
    if len({image.shape[1:] for image in images}) > 1:
        raise DataError("the images of a loader must have one size; resize them, or name a dataset by its spec")
    return MemoryDataset(torch.cat(images)[:most], torch.cat(labels)[:most])
