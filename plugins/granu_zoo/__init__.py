"""Plugin module of granu_zoo: small trained networks that ship with granu, so that a first run needs no download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import ClassifierOffer, OptionError, UnknownName, Weights, hookimpl, option, read_class_names
from granu_zoo.trained_on import CIFAR10, MNIST, trained_on

if TYPE_CHECKING:
    from torch import nn

    from granu import BuildContext, ImageClassifier

FOLDER = Path(__file__).parent / "weights"

ARCHITECTURES = (
    "mnist-cnn", "mnist-lenet", "mnist-resnet", "mnist-mixer", "mnist-large-kernel", "cifar10-resnet", "cifar-resnet18",
)  # fmt: skip
GENERATORS = {
    "stylegan-mnist": "class-conditional StyleGAN2 of handwritten digits, 32 x 32, grey",
    "biggan-mnist": "class-conditional BigGAN of handwritten digits, 32 x 32, grey",
    "diffusion-mnist": "class-conditional diffusion model of handwritten digits, 32 x 32, grey",
}
CLASSIFIERS = {
    "mnist-cnn": "standard training",
    "mnist-cnn-l2": "the same network, trained against pixel L2 at 2.0",
    "mnist-cnn-linf": "the same network, trained against L-infinity at 0.3",
    "mnist-cnn-prime": "the same network, trained with PRIME",
    "mnist-lenet": "LeNet, standard training",
    "mnist-judge-resnet": "a residual network, standard training",
    "mnist-judge-mixer": "a network without convolutions, standard training",
    "mnist-judge-l2": "large kernels, trained against pixel L2 at 1.5",
    "cifar10-resnet": "a residual network for colour images, standard training",
}
DEFAULT_SOURCES = {"stylegan-mnist": "stylegan"}  # draws the images of commands that name none
SHA256 = {
    "stylegan-mnist": "013166dd05e02a8b3a1975227768044455e957e0b2915cfa167f48bfa21117d9",
    "biggan-mnist": "acb921471f80573065a92a32c5a1bfe9da5917b1c79ffde1bd3a5fb8f18227eb",
    "diffusion-mnist": "5614a11f8850a3950ca7cca5a56d703bef0f15e46a7bbd6d7e668c9974e57067",
    "mnist-cnn": "10d24a85f78f149ee9849a63fc45569e35c31d05b98cce48b362b129677f97ad",
    "mnist-cnn-l2": "5bc788ab29426cff062f14b206bd477544168fc0ca97cf145e6b94cfcd02d93f",
    "mnist-cnn-linf": "6f66e25e82544b20b19270d7e91b098c4ca682dcac7a78cb6838ea4f102170df",
    "mnist-cnn-prime": "5a2eec431f077a57744f04442509f40d28ce3b49b3fe5501edd8cabf7eb026f7",
    "mnist-lenet": "66924b03c25f5b4f20c671f6809384db59466edd70cbb27513362eca247f6294",
    "mnist-judge-resnet": "21e5b0fb0ec28e7f1e5cd7b4e33c55779e233e1b8e3205d26dd0edd9bf173665",
    "mnist-judge-mixer": "edacf61e3dbab0a4e6b6aa409ed04fcad1d87b5bc8a3d7fdf80ca84b71642a64",
    "mnist-judge-l2": "b72f2bab5e7fe400621467110e9b07e82b9913c40ad535b3bf3deb0ea95371f6",
    "cifar10-resnet": "53d37a8a35f2935446af8b5aefc6baca6afe2120e1f868e01bf773c4a5007e86",
}


@dataclass(frozen=True)
class ZooOptions:
    """Options of `zoo:`."""

    model: str = option(
        "mnist-cnn",
        "name of shipped weights, or a granu weights file of one of their architectures; with init=random also the "
        f"name of an architecture: {', '.join(ARCHITECTURES)}",
    )
    init: str = option(
        "trained", "whether the weights are loaded, or drawn for a training", choices=("trained", "random")
    )
    classes: str | None = option(
        None,
        "with init=random: class names joined by plus, a file with one per line, or their number; by default those of "
        "the weights, or 10",
    )
    channels: int | None = option(
        None,
        "with init=random: input channels, 1 for grey or 3 for colour; by default those of the architecture",
        low=1,
        high=3,
    )


def check(options: ZooOptions, context: BuildContext) -> None:
    """Check that the options go together, and that a file exists and its header names one of the architectures."""
    from granu import read_weights_header

    (check_untrained if options.init == "random" else check_trained)(options, context)
    if options.init == "trained" or options.model not in ARCHITECTURES:
        read_weights_header(context.locate(options.model), ARCHITECTURES)


def check_trained(options: ZooOptions, context: BuildContext) -> None:
    """Check that there are weights, and that nothing is asked of them that they were not trained for."""
    if options.model in ARCHITECTURES and options.model not in context.catalog.weights:
        raise OptionError(
            f"`zoo:{options.model}` is an architecture that ships without weights; start from random ones with "
            f"zoo:{options.model},init=random"
        )
    if options.classes is not None or options.channels is not None:
        raise OptionError(
            f"`zoo:{options.model}` has weights for its own classes and channels; to choose others, start from random "
            "weights with init=random"
        )


def check_untrained(options: ZooOptions, context: BuildContext) -> None:
    """Check that the architecture, its classes and its channels can be had."""
    known = (*ARCHITECTURES, *CLASSIFIERS)
    if options.model not in known and not Path(options.model).expanduser().exists():
        raise UnknownName("architecture", options.model, known, f"zoo:{options.model}")
    if options.channels == 2:
        raise OptionError(f"`zoo:{options.model}`: channels=2 fits no images; give 1 for grey or 3 for colour")
    if options.classes is not None:
        read_class_names(options.classes)


def make(options: ZooOptions, context: BuildContext) -> ImageClassifier:
    from granu_zoo.loading import make_classifier, make_untrained

    return (make_untrained if options.init == "random" else make_classifier)(options, context)


def describe(options: ZooOptions, context: BuildContext) -> Mapping[str, Any]:
    """The statements of the weights' header."""
    from granu import read_weights_header

    if options.model in ARCHITECTURES and options.init == "random":
        return {"architecture": options.model}
    header = read_weights_header(context.locate(options.model), ARCHITECTURES)
    return {"architecture": header.architecture, "config": header.config, "classes": header.classes, **header.about}


def network(config: Mapping[str, Any], context: BuildContext) -> nn.Module:
    from granu_zoo.loading import build_network

    return build_network(config)


@hookimpl
def granu_classifiers() -> Sequence[ClassifierOffer]:
    return [
        ClassifierOffer(
            name="zoo",
            summary="small classifiers of MNIST and CIFAR-10 that ship with granu",
            options=ZooOptions,
            target="model",
            make=make,
            check=check,
            network=network,
            describe=describe,
            models=tuple(CLASSIFIERS),
            licence=f"{MNIST.licence} (digits), {CIFAR10.licence} (CIFAR-10)",
        )
    ]


@hookimpl
def granu_weights() -> Sequence[Weights]:
    matching = {
        "classifiers": ("zoo:mnist-cnn", "zoo:mnist-cnn-l2", "zoo:mnist-cnn-linf"),
        "judges": ("zoo:mnist-judge-resnet", "zoo:mnist-judge-mixer", "zoo:mnist-judge-l2"),
    }
    generators = [
        shipped(name, summary, **matching, default_source=DEFAULT_SOURCES.get(name, ""))
        for name, summary in GENERATORS.items()
    ]
    return [*generators, *(shipped(name, summary) for name, summary in CLASSIFIERS.items())]


def shipped(
    name: str,
    summary: str,
    classifiers: tuple[str, ...] = (),
    judges: tuple[str, ...] = (),
    default_source: str = "",
) -> Weights:
    """Describe one file in the folder of weights."""
    return Weights(
        name=name,
        summary=summary,
        file=FOLDER / f"{name}.safetensors",
        sha256=SHA256[name],
        licence=trained_on(name).licence,
        source=f"trained on {trained_on(name).credit} by python -m granu_zoo.train",
        classifiers=classifiers,
        judges=judges,
        default_source=default_source,
    )
