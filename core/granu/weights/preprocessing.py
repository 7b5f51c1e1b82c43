"""An ImageClassifier's preprocessing as plain data in the header of a weights file, checked when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from granu.images.classifier import ImageClassifier

FITS = ("resize", "pad")
LONGEST_SIDE = 4096  # pixels; a file must not make the classifier allocate more
Pair = tuple[int, int]


@dataclass(frozen=True)
class CroppingValues:
    """The fields of `granu.Cropping`."""

    size: Pair
    box: Pair
    mode: str
    squash: bool = False


@dataclass(frozen=True)
class Preprocessing:
    """The settings of an ImageClassifier other than its network, its classes and its name."""

    channels: int | None
    size: Pair | None
    fit: str
    cropping: CroppingValues | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    named: bool

    @classmethod
    def of(cls, classifier: ImageClassifier) -> Preprocessing:
        """The preprocessing of a classifier."""
        cropping = classifier.cropping
        return cls(
            classifier.channels,
            classifier.size,
            classifier.fit,
            None if cropping is None else CroppingValues(cropping.size, cropping.box, cropping.mode, cropping.squash),
            tuple(classifier.mean.flatten().tolist()),
            tuple(classifier.std.flatten().tolist()),
            classifier.named,
        )

    def values(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    def wrap(self, network: nn.Module, classes: Sequence[str], **identity: Any) -> ImageClassifier:
        """The classifier of a network; `identity` is its name, architecture and config."""
        from granu.images.classifier import ImageClassifier
        from granu.images.cropping import Cropping

        settings = {**vars(self), "cropping": self.cropping and Cropping(**vars(self.cropping))}
        return ImageClassifier(network, classes, **settings, **identity)


def read_preprocessing(values: Any) -> Preprocessing:
    """Check what a header states. ValueError with the end of a sentence, such as "std 0.0, which is not positive"."""
    _expect(isinstance(values, Mapping), "no preprocessing")
    channels, fit, named = values.get("channels"), values.get("fit"), values.get("named")
    _expect(channels is None or _is_one_of(channels, (1, 3)), "channels other than 1 or 3")
    _expect(_is_one_of(fit, FITS), "a fit other than 'resize' or 'pad'")
    _expect(isinstance(named, bool), "no 'named'")
    size = values.get("size")
    cropping = values.get("cropping")
    mean, std = _numbers(values.get("mean"), "mean", channels), _numbers(values.get("std"), "std", channels)
    _expect(all(value > 0 for value in std), "a std that is not positive")
    return Preprocessing(
        channels,
        None if size is None else _pair(size, "size"),
        fit,
        None if cropping is None else _cropping(cropping),
        mean,
        std,
        named,
    )


def _cropping(values: Any) -> CroppingValues:
    _expect(isinstance(values, Mapping), "a cropping without a size")
    size, box = _pair(values.get("size"), "size"), _pair(values.get("box"), "box")
    mode, squash = values.get("mode"), values.get("squash")
    _expect(isinstance(mode, str) and isinstance(squash, bool), "a cropping without mode or squash")
    _expect(all(inner <= outer for inner, outer in zip(size, box, strict=True)), "a crop larger than its box")
    return CroppingValues(size, box, mode, squash)


def _pair(value: Any, name: str) -> Pair:
    fits = isinstance(value, list) and len(value) == 2 and all(_is_side(side) for side in value)
    _expect(fits, f"a {name} that is not two whole numbers from 1 to {LONGEST_SIDE}")
    return value[0], value[1]


def _is_side(value: Any) -> bool:
    return type(value) is int and 1 <= value <= LONGEST_SIDE


def _numbers(values: Any, name: str, channels: int | None) -> tuple[float, ...]:
    plain = isinstance(values, list) and all(type(v) in (int, float) and math.isfinite(v) for v in values)
    _expect(plain and len(values) in (1, channels or 3), f"a {name} that is not one number for each channel")
    return tuple(map(float, values))


def _is_one_of(value: Any, choices: Sequence[Any]) -> bool:
    return type(value) in map(type, choices) and value in choices


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
