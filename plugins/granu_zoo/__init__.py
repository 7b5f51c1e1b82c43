"""Plugin module of granu_zoo: small trained networks that ship with granu, so that a first run needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granu import ClassifierOffer, Weights, hookimpl, option
from granu_zoo.trained_on import CIFAR10, MNIST, trained_on

if TYPE_CHECKING:
    from granu import BuildContext

FOLDER = Path(__file__).parent / "weights"

ARCHITECTURES = ("mnist-cnn", "mnist-lenet", "mnist-resnet", "mnist-mixer", "mnist-large-kernel", "cifar10-resnet")
GENERATORS = {
    "stylegan-mnist": "class-conditional StyleGAN2 of handwritten digits, 32 x 32, grey",
    "biggan-mnist": "class-conditional BigGAN of handwritten digits, 32 x 32, grey",
}
CLASSIFIERS = {
    "mnist-cnn": "standard training",
    "mnist-cnn-l2": "the same network, trained against pixel L2 at 2.0",
    "mnist-cnn-linf": "the same network, trained against L-infinity at 0.3",
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
    "mnist-cnn": "10d24a85f78f149ee9849a63fc45569e35c31d05b98cce48b362b129677f97ad",
    "mnist-cnn-l2": "5bc788ab29426cff062f14b206bd477544168fc0ca97cf145e6b94cfcd02d93f",
    "mnist-cnn-linf": "6f66e25e82544b20b19270d7e91b098c4ca682dcac7a78cb6838ea4f102170df",
    "mnist-lenet": "66924b03c25f5b4f20c671f6809384db59466edd70cbb27513362eca247f6294",
    "mnist-judge-resnet": "21e5b0fb0ec28e7f1e5cd7b4e33c55779e233e1b8e3205d26dd0edd9bf173665",
    "mnist-judge-mixer": "edacf61e3dbab0a4e6b6aa409ed04fcad1d87b5bc8a3d7fdf80ca84b71642a64",
    "mnist-judge-l2": "b72f2bab5e7fe400621467110e9b07e82b9913c40ad535b3bf3deb0ea95371f6",
    "cifar10-resnet": "53d37a8a35f2935446af8b5aefc6baca6afe2120e1f868e01bf773c4a5007e86",
}


@dataclass(frozen=True)
class ZooOptions:
    """Options of `zoo:`."""

    model: str = option("mnist-cnn", "name of shipped weights, or a granu weights file of one of their architectures")


def check(options: ZooOptions, context: BuildContext) -> None:
    """Check that the file exists and that its header names one of the zoo's architectures."""
    from granu import read_weights_header

    read_weights_header(context.locate(options.model), ARCHITECTURES)


def make(options: ZooOptions, context: BuildContext) -> Any:
    from granu_zoo.loading import make_classifier

    return make_classifier(options.model, context)


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
