"""Classifiers: what the network gets of an image, and what is accepted as its output."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from granu import ClassifierError, UnknownName
from granu.images.classifier import ImageClassifier
from granu.images.ops import pad_to, resize


class Recorder(nn.Module):
    """Keeps its input and returns a given output."""

    def __init__(self, output: Any = None) -> None:
        super().__init__()
        self.output = output
        self.layer = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
        self.inputs: Tensor = torch.empty(0)

    def forward(self, images: Tensor) -> Any:
        self.inputs = images
        return torch.zeros(len(images), 2) if self.output is None else self.output


def seen(images: Tensor, **settings: Any) -> Tensor:
    """The network's input for these images."""
    network = Recorder()
    ImageClassifier(network, ("a", "b"), **settings)(images)
    return network.inputs


def test_images_are_normalized_per_channel() -> None:
    images = torch.rand(2, 3, 4, 5)
    mean, std = [0.1, 0.2, 0.3], [0.5, 2.0, 4.0]
    expected = torch.stack([(images[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    assert torch.equal(seen(images, mean=mean, std=std), expected)
    assert torch.equal(seen(images), images)
    assert torch.equal(seen(images, mean=[0.5], std=[0.25]), (images - 0.5) / 0.25)


def test_channels_are_fitted_to_the_networks() -> None:
    grey = torch.rand(2, 1, 4, 5)
    assert torch.equal(seen(grey), grey.expand(2, 3, 4, 5))
    assert torch.equal(seen(grey, channels=1), grey)


@pytest.mark.parametrize(
    ("shape", "fit", "padded"),
    [
        ((4, 5), "pad", True),
        ((6, 5), "pad", True),
        ((4, 8), "pad", True),
        ((7, 5), "pad", False),
        ((4, 9), "pad", False),
        ((7, 9), "pad", False),
        ((6, 7), "pad", True),
        ((4, 5), "resize", False),
        ((9, 9), "resize", False),
    ],
)
def test_smaller_images_are_padded_where_the_network_asks_for_it_and_others_resized(
    shape: tuple[int, int], fit: str, padded: bool
) -> None:
    images = torch.rand(2, 3, *shape)
    expected = pad_to(images, 6, 8) if padded else resize(images, 6, 8)
    assert torch.equal(seen(images, size=(6, 8), fit=fit), expected)


def test_images_are_resized_unless_the_network_asks_for_padding() -> None:
    images = torch.rand(2, 3, 4, 5)
    assert torch.equal(seen(images, size=(6, 8)), resize(images, 6, 8))


def test_images_of_the_right_size_or_for_any_size_are_left_alone() -> None:
    images = torch.rand(2, 3, 6, 8)
    assert torch.equal(seen(images, size=(6, 8)), images)
    assert torch.equal(seen(images), images)


def test_logits_are_those_of_the_network_in_float32() -> None:
    logits = torch.tensor([[1.0, 2.0], [4.0, 3.0]])
    images = torch.rand(2, 3, 4, 4)
    for output in (logits, logits.double(), logits.half(), SimpleNamespace(logits=logits)):
        result = ImageClassifier(Recorder(output), ("a", "b"))(images)
        assert result.dtype == torch.float32 and torch.equal(result, logits)


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (torch.zeros(2, 3), "(2, 3)"),
        (torch.zeros(2, 2, 1), "(2, 2, 1)"),
        (torch.zeros(2), "(2,)"),
        ((torch.zeros(2, 2),), "tuple"),
        ("cat", "str"),
    ],
)
def test_an_output_that_is_no_table_of_logits_is_refused(output: Any, what: str) -> None:
    with pytest.raises(ClassifierError) as raised:
        ImageClassifier(Recorder(output), ("a", "b"), name="mine")(torch.rand(2, 3, 4, 4))
    assert str(raised.value) == (f"'mine' gave {what} for 2 images, not (2, 2); name as many classes as it has outputs")
    with pytest.raises(ClassifierError, match=r"^'classifier' gave"):
        ImageClassifier(Recorder(output), ("a", "b"))(torch.rand(2, 3, 4, 4))


def test_a_classifier_begins_in_evaluation_mode_and_lies_channels_last() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout())
    classifier = ImageClassifier(network, ["a", "b"], channels=1, size=(6, 8), fit="pad", named=False)
    assert not network.training
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not network[0].weight.is_contiguous()
    assert (classifier.classes, classifier.channels, classifier.size) == (("a", "b"), 1, (6, 8))
    assert (classifier.fit, classifier.name, classifier.named) == ("pad", "classifier", False)
    assert ImageClassifier(network, "ab").named


def test_normalization_is_no_part_of_the_weights() -> None:
    assert list(ImageClassifier(Recorder(), "ab").state_dict()) == ["network.layer.0.weight", "network.layer.0.bias"]


def test_layers_are_the_networks_modules_by_name() -> None:
    classifier = ImageClassifier(network := Recorder(), "ab")
    assert dict(classifier.layers()) == {
        "layer": network.layer,
        "layer.0": network.layer[0],
        "layer.1": network.layer[1],
    }


def test_a_gradient_reaches_the_image() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 2))
    images = torch.rand(2, 3, 9, 9, requires_grad=True)
    F.cross_entropy(ImageClassifier(network, "ab", size=(4, 4))(images), torch.tensor([0, 1])).backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_a_frozen_part_stays_in_evaluation_mode_and_gets_no_gradient() -> None:
    first, second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    classifier = ImageClassifier(nn.Sequential(first, second, nn.Flatten(), nn.Linear(12, 2)), ("a", "b"))
    classifier.freeze(classifier.layer("0"))
    classifier.train()
    classifier(torch.rand(4, 3, 2, 2)).sum().backward()
    assert not first.num_batches_tracked and second.num_batches_tracked  # type: ignore[truthy-bool]
    assert first.weight.grad is None and second.weight.grad is not None


def test_a_layer_that_does_not_exist_is_named_with_the_nearest_one() -> None:
    classifier = ImageClassifier(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), ("a", "b"), name="mine")
    with pytest.raises(UnknownName, match=r"there is no layer named '3' in `mine`"):
        classifier.layer("3")
