"""A made-up plugin to train: small networks, patterns of four classes that are read fast, and simple defenses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trainings import Notes

from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.training.plan import TrainPlan
from granu.training.planning import make_request, make_train_plan
from granu.training.train import TrainingResult

SMALL = '''
import os
import time
from dataclasses import dataclass

import granu

CLASSES = ("left", "right", "top", "bottom")


@dataclass(frozen=True)
class Net:
    """Options of the network."""
    kind: str = granu.option("norm", "which", choices=("norm", "plain", "dropout", "frozen", "function", "fixed"))
    names: bool = granu.option(True, "whether its outputs have names")


@dataclass(frozen=True)
class Images:
    """Options of the images."""
    count: int = granu.option(64, "how many")
    broken: int = granu.option(0, "broken ones at the beginning")
    classes: str = granu.option("four", "which", choices=("four", "one", "other", "same"))
    sides: str = granu.option("8", "sizes of the images, in turn")
    first: int = granu.option(0, "number of the first image")
    pause: float = granu.option(0.0, "seconds that reading an image takes")


@dataclass(frozen=True)
class Kind:
    """Options of the defense."""
    kind: str = granu.option("plain", "which")
    at: int = granu.option(3, "step at which something happens")
    size: float = granu.option(0.1, "size of what it adds")


def network(config, context):
    from torch import nn

    class Frozen(nn.Module):
        pass

    kind = config["kind"]
    middle = {"norm": nn.BatchNorm2d(6), "dropout": nn.Dropout(0.3)}.get(kind, nn.Identity())
    fixed = nn.Flatten(), nn.Linear(64, 4)
    convolution = nn.Conv2d(1, 6, 3, padding=1), middle, nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
    return nn.Sequential(*fixed) if kind == "fixed" else nn.Sequential(*convolution, nn.Linear(96, 4))


def make_classifier(options, context):
    if options.kind == "function":
        return Function()
    config = {"kind": options.kind}
    names = CLASSES if options.names else ("0", "1", "2", "3")
    return granu.ImageClassifier(
        network(config, context), names, channels=1, size=None if options.kind == "fixed" else (8, 8), name="net",
        named=options.names, architecture="net", config=config,
    )


class Function:
    classes = CLASSES
    layers = dict

    def __call__(self, images):
        return images.mean((1, 2, 3))[:, None].expand(-1, 4)


class Shapes:
    """Noise that is brighter on one side, which is the class."""

    def __init__(self, options):
        self.options = options
        self.classes = {"one": ("left",), "other": ("cat", "dog", "cow", "hen")}.get(options.classes, CLASSES)

    def __len__(self):
        return self.options.count

    def image_id(self, index):
        return f"shape#{index + self.options.first}"

    def read(self, index):
        import torch

        time.sleep(self.options.pause)
        if index < self.options.broken:
            raise granu.DataError(f"shape {index} is broken")
        number = index + self.options.first
        sides = [int(side) for side in self.options.sides.split("+")]
        side = sides[number % len(sides)]
        image = torch.rand(1, side, side, generator=torch.Generator().manual_seed(number)) * 0.7
        label = 0 if len(self.classes) == 1 or self.options.classes == "same" else number % 4
        half = side // 2
        where = [(slice(None), slice(0, half)), (slice(None), slice(half, None)),
                 (slice(0, half), slice(None)), (slice(half, None), slice(None))][label]
        image[0][where] += 0.3
        return image, label


def make_defense(options, context):
    import torch
    from torch import nn

    class Plain(granu.Defense):
        def loss(self, step):
            return step.rest(step.images)

    class Noisy(granu.Defense):
        """Adds noise of each image's own stream."""

        def changed(self, step):
            noise = step.streams.scope("noisy").uniform(*step.images.shape[1:])
            return (step.images + options.size * (noise - 0.5)).clamp(0, 1)

        def loss(self, step):
            return step.rest(self.changed(step))

        def robust_logits(self, step):
            return step.classifier(self.changed(step)).detach()

    class Noting(Plain):
        """Notes the number of the step, and something to read before."""

        def remarks(self):
            return ("look at the numbers",)

        def loss(self, step):
            step.note("number", step.number)
            return super().loss(step)

    class Dark(granu.Defense):
        def loss(self, step):
            return step.rest(step.images * 0.5)

        def robust_logits(self, step):
            return step.classifier(step.images * 0).detach()

    class Nan(granu.Defense):
        def loss(self, step):
            loss = step.rest(step.images)
            return loss * float("nan") if step.number == options.at else loss

    class NanGradient(granu.Defense):
        def loss(self, step):
            loss = step.rest(step.images)
            if step.number == options.at:
                loss = loss + (next(step.classifier.parameters()).sum() * 0).sqrt()
            return loss

    class Growing(granu.Defense):
        def loss(self, step):
            return step.rest(step.images) * 2.0**step.number

    class Kill(granu.Defense):
        """Ends the process without warning, once."""

        def loss(self, step):
            if step.number == options.at and not os.path.exists("killed"):
                open("killed", "w").close()
                os._exit(9)
            return step.rest(step.images)

    class Interrupt(granu.Defense):
        """Presses Ctrl-C, once."""

        def loss(self, step):
            if step.number == options.at and not os.path.exists("interrupted"):
                import signal
                open("interrupted", "w").close()
                signal.raise_signal(signal.SIGINT)
            return step.rest(step.images)

    class HalfFrozen(granu.Defense):
        def prepare(self, classifier):
            classifier.freeze(*list(classifier.network)[:-1])

        def loss(self, step):
            return step.rest(step.images)

    class AllFrozen(HalfFrozen):
        def prepare(self, classifier):
            classifier.freeze(classifier.network)

    class TwoRoutes(granu.Defense):
        """A second last layer, trained on inverted images."""

        def prepare(self, classifier):
            classifier.network.add_module("second", Both(classifier.network[-1], nn.Linear(96, 4)))
            classifier.network[-1].other.load_state_dict(classifier.network[-1].own.state_dict())
            del classifier.network[-2]

        def loss(self, step):
            last = step.classifier.network[-1]
            loss = step.rest(step.images)
            last.second = True
            loss = loss + step.rest(1 - step.images)
            last.second = False
            return loss

        def routes(self, classifier):
            state = classifier.network.state_dict()
            place = next(name.split(".")[0] for name in state if ".own." in name)
            plain = {name: value for name, value in state.items() if ".own." not in name and ".other." not in name}

            def route(name):
                own = getattr(classifier.network[-1], name).state_dict()
                return plain | {f"{len(classifier.network) - 1}.{key}": value for key, value in own.items()}

            return {"main": route("own"), "aux": route("other")}

    class Both(nn.Module):
        def __init__(self, own, other):
            super().__init__()
            self.own, self.other, self.second = own, other, False

        def forward(self, x):
            return (self.other if self.second else self.own)(x)

    kinds = {
        "plain": Plain, "noisy": Noisy, "dark": Dark, "noting": Noting,
        "nan": Nan, "nan-gradient": NanGradient, "growing": Growing,
        "kill": Kill, "interrupt": Interrupt, "half-frozen": HalfFrozen, "all-frozen": AllFrozen, "two": TwoRoutes,
    }
    return kinds[options.kind]()


@granu.hookimpl
def granu_classifiers():
    return [granu.ClassifierOffer(
        name="net", summary="a small network", options=Net, target="kind", make=make_classifier, network=network,
    )]


@granu.hookimpl
def granu_datasets():
    return [granu.DatasetOffer(
        name="shapes", summary="patterns", options=Images, target="count", make=lambda o, c: Shapes(o),
    )]


@granu.hookimpl
def granu_defenses():
    return [granu.DefenseOffer(
        name="made-up", summary="for tests", options=Kind, target="kind", make=make_defense,
    )]
'''


@pytest.fixture
def small(fake_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the plugin for commands and for this process."""
    folder = fake_plugin("small", SMALL)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


@pytest.fixture
def plan_of(small: Path) -> Callable[..., TrainPlan]:
    """Make a plan from flags."""

    def make(**given: Any) -> TrainPlan:
        catalog = load_catalog()
        defaults = {"classifier": "net", "data": "shapes:64", "out": "out.safetensors", "batch": "8", "epochs": "2"}
        flags = {name.replace("_", "-"): value for name, value in (defaults | given).items()}
        return make_train_plan(catalog, BuildContext(catalog), make_request(flags))

    return make


@pytest.fixture
def trained(plan_of: Callable[..., TrainPlan]) -> Callable[..., TrainingResult]:
    """Train by flags, in this process."""
    from granu.training.train import train

    def run(*, notes: Notes | None = None, fresh: bool = False, **given: Any) -> TrainingResult:
        plan = plan_of(**given)
        return train(plan, BuildContext(load_catalog()), notes or Notes(), "granu train", fresh)

    return run
