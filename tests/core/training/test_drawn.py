"""A generator as training data: the same images every time, and others than an evaluation draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from granu.errors import OptionError
from granu.runs.sources import GeneratorSource
from granu.testing import contracts, tiny
from granu.training.drawn import BLOCK, DrawnImages
from granu.weights.trained import read_trained


def drawn(count: int, seed: int = 0) -> DrawnImages:
    return DrawnImages(tiny.TinyGenerator(), "tiny", count, seed, "cpu")


def test_drawn_images_are_a_dataset_of_the_generators_classes_in_turn() -> None:
    images = drawn(BLOCK + 7)
    contracts.check_dataset(images, (0, BLOCK + 6))
    assert len(images) == BLOCK + 7 and images.classes == tiny.CLASSES
    assert [images.read(i)[1] for i in range(4)] == [0, 1, 2, 0]
    assert images.image_id(BLOCK + 6) == f"tiny/training#{BLOCK + 6}"


def test_an_image_depends_on_the_seed_and_its_number_alone() -> None:
    many, few = drawn(BLOCK * 2), drawn(3)
    assert torch.equal(many.read(2)[0], few.read(2)[0]) and not torch.equal(many.read(2)[0], many.read(5)[0])
    assert not torch.equal(many.read(2)[0], drawn(3, seed=1).read(2)[0])
    torch.testing.assert_close(many.read(BLOCK + 1)[0], drawn(BLOCK + 2).read(BLOCK + 1)[0])


def test_no_image_of_an_evaluation_is_trained_on() -> None:
    (batch,) = GeneratorSource(tiny.TinyGenerator(), "tiny", 0, "cpu").batches(range(6))
    trained = torch.stack([drawn(6).read(i)[0] for i in range(6)])
    differ = (batch.images - trained).abs().amax(dim=(1, 2, 3))  # type: ignore[union-attr]
    assert (differ > 0.01).all()


def test_a_generator_without_classes_is_refused() -> None:
    generator = tiny.TinyGenerator()
    generator.classes = ()
    with pytest.raises(OptionError, match="`tiny` draws images without classes; training needs their labels"):
        DrawnImages(generator, "tiny", 5, 0, "cpu")


def test_a_classifier_is_trained_on_what_a_generator_draws(
    trained: Callable[..., Any], fake_plugin: Callable[..., Path], tiny_place: Path
) -> None:
    result = trained(classifier="tiny-classifier:linear", data="tiny", images="96", batch="16", epochs="1")
    about = read_trained(result.file).about
    assert about["images"]["count"] + about["validation-images"]["count"] == 96
    assert about["training"]["data"] == "tiny" and about["training"]["settings"]["images"] == 96
