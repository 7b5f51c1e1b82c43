"""A plugin whose every number can be worked out by hand: images of a few pixels, classifiers that add them up.

Pixels are written in 255ths. The classifiers know the classes in another order than the images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import granu
from granu import Batch, Criterion, DataError, Proposal, Site
from granu.plugins.context import BuildContext
from granu.streams import Streams
from granu.types import Classifier, ClassifierEvidence, ImageEvidence

Pixels = list[list[list[float]]]  # channels of rows
CLASSES = ("dark", "light")
IMAGES: dict[str, Pixels] = {
    "a": [[[10, 20], [30, 40]]],
    "b": [[[200, 160], [150, 100]]],
    "broken": [],
    "c": [[[130, 130], [130, 130]]],
    "d": [[[60, 0], [0, 0]], [[0, 30], [0, 0]], [[0, 0], [0, 0]]],
    "e": [[[10, 10, 10], [20, 20, 20]]],
}
LABELS = {"a": "dark", "b": "light", "c": "dark", "d": "dark", "e": "dark"}

# what is proposed for each image: fractions of 255ths tell verdicts on quantized images from others
PROPOSED: dict[str, Pixels] = {
    "a": [[[160.4, 159.6], [160.2, 159.7]]],
    "b": [[[201, 102.6], [102.6, 102.6]]],
    "c": [[[199, 199], [199, 199]]],
    "d": [[[90, 0], [0, 0]], [[0, 31], [0, 0]], [[0, 4], [0, 0]]],
    "e": [[[130, 130, 130], [130, 130, 130]]],
}
CONTROLS: dict[str, Pixels] = {
    "a": [[[250, 250], [250, 250]]],
    "b": [[[0, 0], [0, 0]]],
    "c": [[[150.4, 150.4], [150.4, 149]]],  # adds up to 600.2, and to 599 in whole 255ths
    "d": IMAGES["d"],
    "e": IMAGES["e"],
}
NUMBERS = {  # size, tried, forward passes, backward passes, note
    "a": (1.5, 2.5, 7, 3, "found all the same"),
    "b": (3.0, 4.0, 17, 13, None),
    "c": (0.25, 0.75, 27, 23, None),
    "d": (5.0, 6.0, 37, 33, "gave up"),
    "e": (7.0, 8.0, 47, 43, None),
}


def image(pixels: Pixels) -> Tensor:
    """The image (C, H, W) of pixels in 255ths."""
    return torch.tensor(pixels) / 255


class Grid:
    """The images above, in order; one is broken."""

    classes = CLASSES
    in_order = True

    def __len__(self) -> int:
        return len(IMAGES)

    def image_id(self, index: int) -> str:
        return list(IMAGES)[index]

    def read(self, index: int) -> tuple[Tensor, int]:
        name = self.image_id(index)
        if not IMAGES[name]:
            raise DataError("broken is cut off")
        return image(IMAGES[name]), CLASSES.index(LABELS[name])


@dataclass(frozen=True)
class BrightnessOptions:
    """Options of the classifier by brightness."""

    threshold: float = granu.option(509.0, "sum of an image's pixels in 255ths beyond which it is light")


class Brightness:
    """Light beyond the threshold, dark below it, by a hundredth of a logit for each 255th."""

    classes = ("light", "other", "dark")

    def __init__(self, options: BrightnessOptions, context: BuildContext) -> None:
        self.threshold = options.threshold
        self.fingerprint = f"brightness {options.threshold:g}"

    def __call__(self, images: Tensor) -> Tensor:
        total = images.mean(dim=1).flatten(1).sum(dim=1) * 255
        light = (total - self.threshold) / 100
        return torch.stack([light, torch.full_like(light, -50), -light], dim=1)

    def layers(self) -> Mapping[str, torch.nn.Module]:
        return {}


class Corner:
    """Sees an elephant where the first pixel is bright; it does not know the class `light`."""

    classes = ("elephant", "Dark")
    fingerprint = "corner"

    def __call__(self, images: Tensor) -> Tensor:
        bright = images[:, 0, 0, 0] * 255 - 200
        return torch.stack([bright, -bright], dim=1)

    def layers(self) -> Mapping[str, torch.nn.Module]:
        return {}


class Table:
    """Proposes what is written above, and claims nothing that the core would believe."""

    unit = "pages"

    def perturb(self, classifier: Classifier, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        size, tried, forward, backward, notes = zip(*(NUMBERS[id_] for id_ in batch.ids), strict=True)
        return Proposal(
            evidence=ImageEvidence(torch.stack([image(PROPOSED[id_]) for id_ in batch.ids])),
            size=torch.tensor(size),
            tried=torch.tensor(tried),
            forward=torch.tensor(forward),
            backward=torch.tensor(backward),
            notes=notes,
            control=ImageEvidence(torch.stack([image(CONTROLS[id_]) for id_ in batch.ids])),
            extra={
                "stream": noise.integers(1000).float(),
                "only_a": torch.tensor([0.125 if id_ == "a" else math.nan for id_ in batch.ids]),
            },
        )


class Inside:
    """Changes the classifier, not the image: it takes the first image for light."""

    unit = "weights"

    def perturb(self, classifier: Classifier, batch: Batch, criterion: Criterion, noise: Streams) -> Proposal:
        clean = classifier(batch.images)
        first = torch.tensor([id_ == "a" for id_ in batch.ids])
        size = torch.full((len(batch.ids),), 0.5)
        return Proposal(
            evidence=ClassifierEvidence(lambda: torch.where(first[:, None], torch.tensor([3.0, 0.0, 1.0]), clean)),
            size=size,
            tried=size + 0.25,
            forward=torch.full_like(size, 2).long(),
            backward=torch.full_like(size, 1).long(),
            notes=(None,) * len(batch.ids),
        )


DEVIATION = {"dark": (3.0, 4.0, 0.0, 0.0), "light": (4.0, 3.0, 0.0, 0.0)}  # 255ths; the last two neurons are constant
BASE = {"dark": [[125.0, 125.0], [120.0, 120.0]], "light": [[130.0, 130.0], [130.0, 130.0]]}


@dataclass
class DotsLatent:
    """A class, and the number at the end of an image's id."""

    labels: Tensor
    numbers: Tensor
    clean_samples: bool

    def select(self, index: Tensor) -> DotsLatent:
        return DotsLatent(self.labels[index], self.numbers[index], self.clean_samples)


class Dots:
    """One site, `knob`, of four neurons: the first brightens the upper row, the second the lower, two do nothing.

    Its clean samples 0, 1, 2 of a class have -d, 0, d at the neurons, whose standard deviation is therefore d.
    """

    classes = CLASSES
    labels = (0, 1)
    fingerprint = "dots 1"

    def sites(self) -> Sequence[Site]:
        return (Site("knob", (4,), "four neurons"), Site("image", (1, 2, 2), "the pixels", scale="pixel"))

    def draw(self, noise: Streams, labels: Tensor | None) -> DotsLatent:
        assert labels is not None
        numbers = torch.tensor([int(id_.replace("#", "-").rpartition("-")[2]) for id_ in noise.ids])
        return DotsLatent(labels, numbers, noise.ids[0].startswith("clean-"))

    def tail(self, latent: DotsLatent, sites: Sequence[str]) -> DotsTail:
        return DotsTail(latent)


class DotsTail:
    """The image from the four neurons; the first pixel of image n is brighter by n."""

    def __init__(self, latent: DotsLatent) -> None:
        self.latent = latent
        names = [CLASSES[label] for label in latent.labels.tolist()]
        self.base = torch.tensor([BASE[name] for name in names]).reshape(-1, 1, 2, 2) / 255  # (B, 1, 2, 2)
        self.base[:, 0, 0, 0] += latent.numbers / 255
        deviation = torch.tensor([DEVIATION[name] for name in names]).reshape(-1, 4) / 255
        self.knob = deviation * (latent.numbers - 1)[:, None] if latent.clean_samples else torch.zeros(len(names), 4)
        self.clean = {"knob": self.knob, "image": self({})}

    def __call__(self, edits: Mapping[str, Tensor]) -> Tensor:
        knob = self.knob + edits.get("knob", 0)
        rows = knob[:, :2, None].expand(-1, -1, 2)[:, None]  # (B, 1, 2, 2)
        return self.base + rows + edits.get("image", 0)

    def select(self, index: Tensor) -> DotsTail:
        return DotsTail(self.latent.select(index))


@granu.hookimpl
def granu_datasets() -> Sequence[granu.DatasetOffer]:
    return [granu.DatasetOffer(name="grid", summary="six images", make=lambda options, context: Grid())]


@granu.hookimpl
def granu_classifiers() -> Sequence[granu.ClassifierOffer]:
    return [
        granu.ClassifierOffer(
            name="brightness", summary="adds up pixels", options=BrightnessOptions, target="threshold", make=Brightness
        ),
        granu.ClassifierOffer(name="corner", summary="sees one pixel", make=lambda options, context: Corner()),
    ]


@granu.hookimpl
def granu_perturbations() -> Sequence[granu.PerturbationOffer]:
    return [
        granu.PerturbationOffer(
            name="table", summary="as written", make=lambda options, context: Table(), searched=False
        ),
        granu.PerturbationOffer(
            name="inside", summary="in the classifier", make=lambda options, context: Inside(), searched=False
        ),
    ]


@granu.hookimpl
def granu_generators() -> Sequence[granu.GeneratorOffer]:
    return [
        granu.GeneratorOffer(
            name="dots",
            summary="four neurons",
            make=lambda options, context: Dots(),
            sites=lambda options, context: Dots().sites(),
            weights=lambda options: "none",
        )
    ]
