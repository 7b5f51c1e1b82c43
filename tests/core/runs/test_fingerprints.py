"""Fingerprints: equal for equal contents, different for whatever changes an answer."""

from __future__ import annotations

import copy
import hashlib
import struct
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from granu.images.classifier import ImageClassifier
from granu.images.cropping import Cropping
from granu.runs.fingerprints import classifier_fingerprint, image_hash


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def classifier(net: nn.Module | None = None, **settings: Any) -> ImageClassifier:
    return ImageClassifier(net or network(), settings.pop("classes", ("a", "b")), **settings)


def test_the_same_contents_have_the_same_fingerprint() -> None:
    assert classifier_fingerprint(classifier()) == classifier_fingerprint(classifier())
    assert classifier_fingerprint(classifier(name="one")) == classifier_fingerprint(classifier(name="other"))


def changed(change: Callable[[Any], object]) -> nn.Module:
    net = network()
    with torch.no_grad():
        change(net)
    return net


CHANGES = {
    "a weight": lambda net: net[4].weight[1, 2].add_(1e-6),
    "a bias": lambda net: net[4].bias[0].add_(1e-6),
    "a running mean": lambda net: net[1].running_mean[3].add_(1e-6),
    "its precision": lambda net: net[4].bfloat16(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_number_in_the_network_is_another_fingerprint(change: Callable[[Any], object]) -> None:
    assert classifier_fingerprint(classifier(changed(change))) != classifier_fingerprint(classifier())


SETTINGS: list[dict[str, Any]] = [
    {"mean": (0.5,)}, {"std": (0.5,)}, {"classes": ("b", "a")}, {"channels": 1}, {"size": (8, 8)},
    {"fit": "pad"}, {"cropping": Cropping((8, 8), (9, 9), "bicubic")},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=[next(iter(s)) for s in SETTINGS])
def test_another_preprocessing_is_another_fingerprint(settings: dict[str, Any]) -> None:
    assert classifier_fingerprint(classifier(**dict(settings))) != classifier_fingerprint(classifier())


def test_another_cropping_is_another_fingerprint() -> None:
    small, large = (classifier(cropping=Cropping((8, 8), (side, side), "bicubic")) for side in (9, 10))
    assert classifier_fingerprint(small) != classifier_fingerprint(large)


def test_memory_layout_is_no_difference() -> None:
    first = classifier()
    second = copy.deepcopy(first).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    assert classifier_fingerprint(first) == classifier_fingerprint(second)


def test_what_is_no_module_may_bring_a_fingerprint_of_its_own() -> None:
    class Bare:
        classes = ("a", "b")

    assert classifier_fingerprint(Bare()) is None  # type: ignore[arg-type]
    bare = Bare()
    bare.fingerprint = "mine"  # type: ignore[attr-defined]
    assert classifier_fingerprint(bare) == "mine"  # type: ignore[arg-type]


def test_an_images_hash_is_that_of_its_shape_class_and_8_bit_pixels() -> None:
    image = torch.tensor([[[0.0, 100.4 / 255], [1.0, 2.0]]])
    expected = hashlib.sha256(b"(1, 2, 2) cat" + bytes([0, 100, 255, 255])).hexdigest()[:16]
    assert image_hash(image, "cat") == expected
    assert image_hash(image, "dog") != expected and image_hash(image.view(1, 1, 4), "cat") != expected
    assert image_hash(image.transpose(1, 2).contiguous().transpose(1, 2), "cat") == expected


def test_a_fingerprint_is_that_of_names_types_shapes_bytes_and_settings() -> None:
    net = nn.Module()
    net.register_buffer("b", torch.tensor([[3, -1]]))
    net.register_parameter("a", nn.Parameter(torch.tensor([0.5])))
    net.register_buffer("empty", torch.zeros(0, 2))
    contents = b"a torch.float32 (1,)" + struct.pack("<f", 0.5) + b"b torch.int64 (1, 2)" + struct.pack("<qq", 3, -1)
    contents += b"empty torch.float32 (0, 2)" + b"[None, None, None, None]"
    assert classifier_fingerprint(net) == hashlib.sha256(contents).hexdigest()  # type: ignore[arg-type]
    net.classes, net.channels, net.size, net.fit = ("x",), 3, (4, 5), "pad"  # type: ignore[assignment]
    with_settings = contents.replace(b"[None, None, None, None]", b"[('x',), 3, (4, 5), 'pad']")
    assert classifier_fingerprint(net) == hashlib.sha256(with_settings).hexdigest()  # type: ignore[arg-type]


def test_an_images_hash_clamps_to_the_range_of_a_png() -> None:
    image = torch.tensor([[[-0.5, 1.5]]])
    assert image_hash(image, "cat") == hashlib.sha256(b"(1, 1, 2) cat" + bytes([0, 255])).hexdigest()[:16]
