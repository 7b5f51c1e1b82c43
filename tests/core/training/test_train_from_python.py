"""`granu.train`: training of models and images that exist already."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from trainings import same

import granu
from granu import ClassifierError, DataError, OptionError, UnknownName

SETTINGS = {"epochs": 6, "batch": 16, "lr": 0.01, "hold_out": 0.2}


def bright_side(count: int = 160) -> tuple[Tensor, Tensor]:
    """Noise that is brighter on the left or on the right."""
    images = torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.7
    labels = torch.arange(count) % 2
    images[labels == 0, :, :, :3] += 0.3
    images[labels == 1, :, :, 3:] += 0.3
    return images, labels


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 2))


class Inverted(granu.Defense):
    """Trains on inverted images as well."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def loss(self, step: granu.TrainingStep) -> Tensor:
        return (1 - self.share) * step.rest(step.images) + self.share * step.rest(1 - step.images)


def test_a_network_is_copied_trained_and_returned() -> None:
    images, labels = bright_side()
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    result = granu.train(model, (images, labels), out="a.safetensors", settings=SETTINGS)
    assert result.about["before"]["clean"] < 0.8 and result.about["after"]["clean"] > 0.9
    assert (result.classifier(images).argmax(dim=1) == labels).float().mean() > 0.9
    assert not result.classifier.training
    assert model.training and same(dict(model.state_dict()), dict(before))
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(result) == f"TrainResult('a.safetensors', clean={result.about['after']['clean']}, robust=None)"


def test_a_repeated_call_reads_the_file() -> None:
    given: Any = {"out": "a.safetensors", "settings": SETTINGS}
    first = granu.train(network(), bright_side(), **given)
    written = Path("a.safetensors").stat().st_mtime_ns
    again = granu.train(network(), bright_side(), **given)
    assert Path("a.safetensors").stat().st_mtime_ns == written
    assert same(first.classifier.state_dict(), again.classifier.state_dict())


def test_a_defense_that_exists_is_used() -> None:
    plain = granu.train(network(), bright_side(), out="a.safetensors", settings=SETTINGS)
    inverted = granu.train(network(), bright_side(), Inverted(), out="b.safetensors", settings=SETTINGS)
    assert not same(plain.classifier.state_dict(), inverted.classifier.state_dict())
    assert inverted.about["training"]["defenses"] == ["inverted"]


def test_a_classifier_keeps_its_preprocessing_and_is_copied() -> None:
    classifier = granu.ImageClassifier(network(), ("left", "right"), channels=1, mean=(0.5,), std=(0.2,))
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    result = granu.train(classifier, bright_side(), out="a.safetensors", settings=SETTINGS)
    assert result.classifier.classes == ("left", "right") and result.classifier.mean.item() == 0.5
    assert same(dict(classifier.state_dict()), before)


def test_progress_is_reported() -> None:
    reported: list[tuple[int, int, str]] = []
    granu.train(
        network(), bright_side(), out="a.safetensors", settings=SETTINGS, progress=lambda *words: reported.append(words)
    )
    steps = [words for words in reported if words[2].startswith("epoch")]
    assert [done for done, _, _ in steps] == list(range(1, 49)) and {total for _, total, _ in steps} == {48}
    assert steps[-1][2].startswith("epoch 6 loss 0.")


def test_mistakes_are_the_sentences_of_the_command_line() -> None:
    images, labels = bright_side()
    with pytest.raises(OptionError, match="there is no setting 'epoch'; did you mean 'epochs'"):
        granu.train(network(), (images, labels), out="a.safetensors", settings={"epoch": 1})
    with pytest.raises(OptionError, match=r"`settings`: lr=-1.0 is out of range"):
        granu.train(network(), (images, labels), out="a.safetensors", settings={"lr": -1})
    with pytest.raises(UnknownName, match="there is no defense named 'none-such'"):
        granu.train(network(), (images, labels), "none-such", out="a.safetensors")
    with pytest.raises(DataError, match="fewer than a batch of 128; lower --batch"):
        granu.train(network(), (images[:20], labels[:20]), out="a.safetensors")
    with pytest.raises(ClassifierError, match="cannot be trained"):
        granu.train(lambda x: x.mean((1, 2, 3))[:, None].expand(-1, 2), (images, labels), out="a.safetensors")
    assert not Path("a.safetensors").exists()
