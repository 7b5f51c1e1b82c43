"""The contract of generators that encode: the tiny one keeps it, and each way to break it is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from granu.streams import Streams
from granu.testing import check_encoder
from granu.testing.tiny import CLASSES, TinyEncoder, TinyEncoding, tiny_batch


@pytest.mark.parametrize("classes", [(), CLASSES])
def test_the_tiny_encoder_keeps_the_contract(classes: tuple[str, ...]) -> None:
    batch = tiny_batch(3)
    check_encoder(TinyEncoder(classes=classes), batch.images, batch.labels if classes else torch.full((3,), -1))


class DependsOnBatch(TinyEncoder):
    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> TinyEncoding:
        return super().encode(images - images.mean() + 0.5, labels, noise)


class Forgets(TinyEncoder):
    def restore(self, labels: Tensor, tensors: Mapping[str, Tensor]) -> TinyEncoding:
        return super().restore(labels, {"z": tensors["z"].half().float()})


class IgnoresStreams(TinyEncoder):
    calls = 0

    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> TinyEncoding:
        self.calls += 1
        return super().encode(images + 0.01 * self.calls, labels, noise)


class WritesOnImages(TinyEncoder):
    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> TinyEncoding:
        return super().encode(images.mul_(0.9), labels, noise)


class OtherLabels(TinyEncoder):
    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> TinyEncoding:
        encoding = super().encode(images, labels, noise)
        return TinyEncoding(encoding.z, torch.zeros_like(labels))


class FirstSelected(TinyEncoding):
    def select(self, index: Tensor) -> TinyEncoding:
        return TinyEncoding(self.z[index * 0], self.labels[index])


class SelectsTheFirst(TinyEncoder):
    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> TinyEncoding:
        encoding = super().encode(images, labels, noise)
        return FirstSelected(encoding.z, encoding.labels)


class Infinite(TinyEncoder):
    def encode(self, images: Tensor, labels: Tensor, noise: Streams) -> TinyEncoding:
        return TinyEncoding(super().encode(images, labels, noise).z / 0, labels)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (DependsOnBatch, "depends on the other images"),
        (Forgets, "a restored encoding gives another image"),
        (IgnoresStreams, "the same images and streams gave another encoding"),
        (WritesOnImages, "changes the images"),
        (OtherLabels, "must have the labels"),
        (SelectsTheFirst, "`select` changes the reconstruction"),
        (Infinite, "must be finite images"),
    ],
)
def test_a_broken_encoder_is_noticed(broken: Any, sentence: str) -> None:
    batch = tiny_batch(3)
    with pytest.raises(AssertionError, match=sentence):
        check_encoder(broken(), batch.images, torch.full((3,), -1))


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(AssertionError, match="has another shape than the images"):
        check_encoder(TinyEncoder(), torch.rand(2, 3, 8, 8), torch.full((2,), -1))
