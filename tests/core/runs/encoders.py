"""Tools of the tests of encoded images: a made-up plugin with generators that encode and a dataset, and helpers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.build import Builder
from granu.runs.encodings import Encoder
from granu.runs.plan import EvalPlan
from granu.runs.run import Run
from granu.runs.trials import Trial

RunOf = Callable[..., Run]
Planned = Callable[..., EvalPlan]
CLASSIFIER = "tiny-classifier:linear"
MODEL: dict[str, Any] = {"classifiers": (CLASSIFIER,), "judges": ()}
SHAPES: dict[str, Any] = {**MODEL, "data": "shapes", "count": 8}

ENCODERS = """
from dataclasses import dataclass

import torch

import granu
from granu.testing import tiny

CALLS = []  # images of each call of encode


@dataclass(frozen=True)
class Options:
    kept: int = granu.option(60, "coefficients that are kept")
    by_class: bool = granu.option(False, "whether the generator has classes")
    draws: bool = granu.option(True, "whether it draws")
    fails: str = granu.option("", "how encoding fails")
    version: int = granu.option(1, "of the encoding")


class Encoder(tiny.TinyEncoder):
    def __init__(self, options):
        super().__init__(options.kept, tiny.CLASSES if options.by_class else ())
        self.options, self.encoding = options, f"version {options.version}"

    def encode(self, images, labels, noise):
        CALLS.append(len(images))
        dark = images.mean(dim=(1, 2, 3)) < 0.5
        if self.options.fails == "dark" and dark.any():
            raise granu.DataError("it is too dark")
        if self.options.fails == "memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        encoding = super().encode(images, labels, noise)
        encoding.z = encoding.z + 1e-3 * noise.normal(64)
        if self.options.fails == "nan":
            encoding.z = torch.where(dark[:, None], torch.nan, encoding.z)
        if self.options.fails == "sign":
            encoding.z = torch.where(dark[:, None], -encoding.z, encoding.z)
        return encoding


class Both(Encoder):
    @property
    def labels(self):
        return range(len(self.classes))

    def draw(self, noise, labels):
        labels = torch.full((len(noise),), -1) if labels is None else labels
        return tiny.TinyEncoding(0.2 * noise.normal(64), labels)


class Shapes:
    classes = tiny.CLASSES

    def __init__(self, options):
        batch = tiny.tiny_batch(options.images, seed=5)
        self.images, self.labels = batch.images, batch.labels
        if options.side != 8:
            self.images = granu.resize(self.images, options.side, options.side + 3).clamp(0, 1).expand(-1, 3, -1, -1)
        if options.named == "other":
            self.classes = ("disk", "bar", "cross")

    def __len__(self):
        return len(self.images)

    def image_id(self, index):
        return f"shape{index}"

    def read(self, index):
        return self.images[index], int(self.labels[index])


@dataclass(frozen=True)
class ShapeOptions:
    images: int = granu.option(30, "how many")
    side: int = granu.option(8, "height")
    named: str = granu.option("same", "how its classes are named")


def sites(options, context):
    return tiny.TinyEncoder().sites()


@granu.hookimpl
def granu_generators():
    def weights(options):
        return ""
    return [
        granu.GeneratorOffer(name="auto", summary="encodes", options=Options, make=lambda o, c: Encoder(o),
                             sites=sites, weights=weights, draws=False, encodes=True, samples=12),
        granu.GeneratorOffer(name="both", summary="draws and encodes", options=Options, make=lambda o, c: Both(o),
                             sites=sites, weights=weights, draws=lambda o: o.draws, encodes=lambda o: True, samples=15),
    ]


@granu.hookimpl
def granu_datasets():
    return [granu.DatasetOffer(name="shapes", summary="tiny", options=ShapeOptions, make=lambda o, c: Shapes(o))]
"""


def encoded() -> list[int]:
    """The number of images of each call of `encode` since this was last asked."""
    calls = sys.modules["fake_encoders"].CALLS  # type: ignore[attr-defined]
    known = list(calls)
    calls.clear()
    return known


def by_image(run: Run) -> dict[str, Trial]:
    return {trial.image: trial for trial in run.trials}


def outcomes(run: Run) -> dict[str, str]:
    """The outcome for each image."""
    return {trial.image: trial.outcome for trial in run.trials}


def sizes(run: Run) -> dict[str, float]:
    """The size of the change found for each image; 0 where there is none."""
    return {trial.image: trial.size or 0 for trial in run.trials}


def builder_of(plan: EvalPlan) -> Builder:
    return Builder(plan, BuildContext(load_catalog()))


def encoder_of(plan: EvalPlan) -> Encoder:
    return builder_of(plan).encoder(plan.perturbations[0])
