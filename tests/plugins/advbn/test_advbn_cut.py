"""Networks of every make are divided behind a module without a change of their logits."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from advbn_networks import SIDE, Dense, Plain, Residual, Tokens, block, classifier_of, make_step
from torch import Tensor, nn

from granu import ClassifierError, ImageClassifier, UnknownName
from granu_advbn.cut import find_cut, find_cut_untold

IMAGES = torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


class Shared(nn.Module):
    """One activation inside a block and outside, before and behind."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.conv, self.layer1, self.fc = nn.Tanh(), nn.Conv2d(3, 4, 1), block(4, 4), nn.Linear(4, 3)
        self.stem = nn.Sequential(nn.Conv2d(4, 4, 1), self.act)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.act(self.conv(x)))
        return self.fc(self.act(self.layer1(x)).mean((2, 3)))


MAKES = [
    (Shared, "layer1"),
    (Plain, "stem"),
    (Plain, "layer1"),
    (Plain, "layer1.1"),
    (Plain, "layer2.0"),
    (Residual, "bn1"),
    (Residual, "conv1"),
    (Residual, "deep1"),
    (Residual, "deep1.0"),
    (Residual, "deep2.1"),
    (Dense, "layers.0"),
    (Dense, "layers.1"),
    (Dense, "layers.1.0"),
    (Tokens, "patches"),
    (Tokens, "blocks.0"),
    (Tokens, "blocks.0.norm1"),
    (Tokens, "blocks.1.perceptron.0"),
    (Tokens, "norm"),
]


def count_calls(classifier: ImageClassifier) -> dict[str, int]:
    """Count the calls of each module without children from now on: name -> calls."""
    calls: dict[str, int] = {}
    for name, module in classifier.layers().items():
        if not list(module.children()):
            calls[name] = 0

            def counted(*args: Any, _name: str = name, _forward: Any = module.forward, **kwargs: Any) -> Any:
                calls[_name] += 1
                return _forward(*args, **kwargs)

            module.forward = counted
    return calls


@pytest.mark.parametrize(("make", "name"), MAKES)
def test_going_on_from_a_cut_gives_the_same_logits(make: type[nn.Module], name: str) -> None:
    classifier = classifier_of(make()).eval()
    cut = find_cut(classifier, name, make_step(classifier).images)
    front = cut.front(classifier, IMAGES)
    for _ in range(3):
        assert torch.equal(cut.rest(classifier, front, front.features), classifier(IMAGES))


@pytest.mark.parametrize(("make", "name"), MAKES)
def test_other_features_give_what_a_hook_would(make: type[nn.Module], name: str) -> None:
    classifier = classifier_of(make()).eval()
    cut = find_cut(classifier, name, make_step(classifier).images)
    front = cut.front(classifier, IMAGES)
    features = 2 * front.features + 1
    handle = classifier.layer(name).register_forward_hook(lambda *_: features.clone())
    expected = classifier(IMAGES)
    handle.remove()
    assert torch.equal(cut.rest(classifier, front, features), expected)
    assert not torch.equal(expected, classifier(IMAGES))


def test_each_module_runs_once_in_front_and_once_behind() -> None:
    classifier = classifier_of(Residual()).eval()
    cut = find_cut(classifier, "deep1.0", IMAGES)
    calls = count_calls(classifier)
    front = cut.front(classifier, IMAGES)
    before = {name: calls.pop(name) for name in ("conv1", "bn1", "deep1.0")}
    assert set(before.values()) == {1} and not any(calls.values())
    cut.rest(classifier, front, front.features)
    assert calls == {"deep1.1": 1, "relu": 2, "deep2.0": 1, "deep2.1": 1, "drop": 1, "fc": 1}


def test_a_network_is_as_it_was_after_a_failure_too() -> None:
    classifier = classifier_of(Plain()).eval()
    cut = find_cut(classifier, "layer1", IMAGES)
    front, logits = cut.front(classifier, IMAGES), classifier(IMAGES)
    with pytest.raises(RuntimeError):
        cut.rest(classifier, front, torch.zeros(5, 99, SIDE, SIDE))
    assert not any("forward" in vars(module) for module in classifier.modules())
    assert torch.equal(classifier(IMAGES), logits)


def test_a_forward_of_ones_own_is_kept() -> None:
    classifier = classifier_of(Plain()).eval()
    own = classifier.layer("layer1").forward
    classifier.layer("layer1").forward = lambda x: own(x) * 2  # type: ignore[method-assign]
    twice = classifier.layer("layer1").forward
    cut = find_cut(classifier, "layer1", IMAGES)
    front = cut.front(classifier, IMAGES)
    assert torch.equal(cut.rest(classifier, front, front.features), classifier(IMAGES))
    assert classifier.layer("layer1").forward is twice


class InPlace(nn.Module):
    """Changes the output of a module in front of the cut, behind the cut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer1, self.fc = block(3, 4), block(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        deep = self.layer1(x)
        deep *= 1.5
        x += deep
        return self.fc(x.mean((2, 3)))


def test_what_a_network_changes_in_place_is_copied_for_it() -> None:
    classifier = classifier_of(InPlace()).eval()
    cut = find_cut(classifier, "layer1", IMAGES)
    front, logits = cut.front(classifier, IMAGES), classifier(IMAGES)
    assert all(torch.equal(cut.rest(classifier, front, front.features), logits) for _ in range(3))
    assert not find_cut(classifier_of(Plain()).eval(), "layer1", IMAGES).copies


@pytest.mark.parametrize(
    ("make", "name", "axis"),
    [
        (Plain, "layer1", 1),
        (Dense, "layers.0", 1),
        (Tokens, "blocks.0", 2),
        (Tokens, "patches", 1),
        (Plain, "fc", 1),
    ],
)
def test_channels_are_found(make: type[nn.Module], name: str, axis: int) -> None:
    classifier = classifier_of(make()).eval()
    assert find_cut(classifier, name, IMAGES).axis == axis
    assert find_cut(classifier, name, IMAGES, "first").axis == 1
    assert find_cut(classifier, name, IMAGES, "last").axis == (2 if name == "blocks.0" else 3 if name != "fc" else 1)


class Last(nn.Module):
    """Channels last, (B, H, W, C), as in Swin transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1, self.fc = nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer1(x.permute(0, 2, 3, 1)).mean((1, 2)))


def test_channels_are_found_behind_the_positions() -> None:
    assert find_cut(classifier_of(Last()).eval(), "layer1", IMAGES).axis == 3


@pytest.mark.parametrize(
    ("make", "name", "nonnegative"),
    [
        (Plain, "layer1", True),
        (Plain, "layer1.1", False),
        (Plain, "stem.2", True),
        (Residual, "deep1", False),  # a ReLU in place behind it
    ],
)
def test_features_behind_a_relu_are_recognised(make: type[nn.Module], name: str, nonnegative: bool) -> None:
    assert find_cut(classifier_of(make()).eval(), name, IMAGES).nonnegative is nonnegative


class Odd(nn.Module):
    """A module that never runs, one that runs twice, and one that gives no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.twice, self.dict, self.total = (nn.Identity() for _ in range(4))
        self.dict.forward = lambda x: {"x": x}  # type: ignore[method-assign]
        self.total.forward = lambda x: x.sum()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dict(self.twice(self.twice(x)))["x"]
        return self.fc(x.mean((2, 3)) + self.total(x))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unused", "'unused' of 'small' does not run; name a module that runs once"),
        ("twice", "'twice' of 'small' runs 2 times in a pass; name a module that runs once"),
        ("dict", "'dict' of 'small' gives a dict, not features; name a module inside it"),
        ("total", "'total' of 'small' gives \\(\\) for 5 images, not features of each"),
    ],
)
def test_modules_without_features_are_refused(name: str, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        find_cut(classifier_of(Odd()).eval(), name, IMAGES)


def test_a_layer_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no layer named 'layr1' in `small`; did you mean 'layer1'"):
        find_cut(classifier_of(Plain()).eval(), "layr1", IMAGES)


class Varying(nn.Module):
    """Never gives the same twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1, self.fc, self.passes = block(3, 4), nn.Linear(4, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.fc(self.layer1(x).mean((2, 3))) + self.passes


def test_a_network_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ClassifierError, match="cannot be divided behind 'layer1', because going on from there gives"):
        find_cut(classifier_of(Varying()).eval(), "layer1", IMAGES)


def test_a_network_without_a_size_is_tried_with_usual_ones() -> None:
    flat = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 28 * 28, 3))
    classifier = ImageClassifier(flat, ("a", "b", "c"), channels=None)
    cut, images = find_cut_untold(classifier, "0", "auto")
    assert images.shape[1:] == (1, 28, 28) and cut.name == "0"


def test_a_network_that_takes_none_of_them_is_refused() -> None:
    classifier = ImageClassifier(nn.Sequential(nn.Flatten(), nn.Linear(5, 3)), ("a", "b", "c"), channels=None)
    with pytest.raises(ClassifierError, match="does not say which images it takes and fails with those tried"):
        find_cut_untold(classifier, "0", "auto")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("test_resnet", "layer1"),
        ("test_vit", "blocks.0"),
        ("test_convnext", "stages.0"),
        ("test_efficientnet", "blocks.1"),
        ("test_nfnet", "stages.0"),
    ],
)
def test_networks_of_timm(timm: ModuleType, model: str, name: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model(model, num_classes=3)
    classifier = ImageClassifier(network, ("a", "b", "c"), size=network.pretrained_cfg["input_size"][1:])
    cut, images = find_cut_untold(classifier.eval(), name, "auto")
    front = cut.front(classifier, images)
    assert torch.equal(cut.rest(classifier, front, front.features), classifier(images))
    assert front.features.shape[cut.axis] == {"test_vit": 64, "test_resnet": 32}.get(model, front.features.shape[1])
