"""Trained classifiers in files: what is saved is opened again, and a file is not trusted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from granu import (
    BuildContext,
    ClassifierError,
    ClassifierOffer,
    Cropping,
    GranuError,
    ImageClassifier,
    PluginError,
    UnknownName,
    WeightsError,
    load_trained,
    read_trained,
    save_trained,
)
from granu.plugins.catalog import Catalog, Entry
from granu.weights.checkpoints import read_metadata
from granu.weights.rebuilding import build_strictly
from granu.weights.trained import check_can_be_saved

CLASSES = ("cat", "dog", "eel")


def network(config: Mapping[str, Any], context: BuildContext | None = None) -> nn.Module:
    """A network with parameters and buffers of several dtypes."""
    if set(config) != {"width"}:
        raise WeightsError("unknown config")
    width = config["width"]
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 3),
    )


def none(options: Any, context: BuildContext) -> None:
    raise AssertionError("nothing is built with `make`")


OFFERS = (
    ClassifierOffer(name="made", summary="a network", make=none, network=network),
    ClassifierOffer(name="closed", summary="not rebuilt", make=none),
)


@pytest.fixture
def context() -> BuildContext:
    return BuildContext(Catalog({"classifier": {o.name: Entry(o.name, o, "made", "", "") for o in OFFERS}}))


def classifier(seed: int = 0, **settings: Any) -> ImageClassifier:
    torch.manual_seed(seed)
    made = network({"width": 4})
    made.train()(torch.rand(8, 3, 6, 6))  # statistics that are not those of a new network
    identity = {"architecture": "made", "config": {"width": 4}}
    return ImageClassifier(made, CLASSES, **{"size": (6, 6), **identity, **settings})


def save(file: Path, one: ImageClassifier, routes: Any = None, **about: Any) -> Path:
    save_trained(file, one, one.architecture, routes, about)
    return file


IMAGES = torch.rand(5, 3, 9, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"size": None, "channels": None, "named": False},
        {"size": (8, 8), "fit": "pad", "mean": (0.1,), "std": (0.3,)},
        {
            "cropping": Cropping((6, 5), (8, 8), "bilinear", squash=True),
            "mean": (0.1, 0.2, 0.3),
            "std": (0.4, 0.5, 0.6),
        },
    ],
)
def test_a_saved_classifier_is_opened_with_the_same_logits_bit_for_bit(
    tmp_path: Path, context: BuildContext, settings: dict[str, Any]
) -> None:
    one = classifier(**settings)
    other = load_trained(save(tmp_path / "a.safetensors", one), context, name="again")
    assert torch.equal(one(IMAGES), other(IMAGES))
    assert (other.classes, other.name, other.architecture) == (CLASSES, "again", "made")
    assert (other.size, other.fit, other.channels, other.cropping, other.named) == (
        one.size, one.fit, one.channels, one.cropping, one.named,
    )  # fmt: skip


def test_the_opened_classifier_is_in_evaluation_mode_and_can_be_trained_and_saved_again(
    tmp_path: Path, context: BuildContext
) -> None:
    opened = load_trained(save(tmp_path / "a.safetensors", classifier()), context)
    assert not opened.training and all(p.requires_grad for p in opened.parameters())
    again = load_trained(save(tmp_path / "b.safetensors", opened), context)
    assert torch.equal(again(IMAGES), opened(IMAGES))


def test_what_the_training_wrote_is_read_without_the_network(tmp_path: Path) -> None:
    header = read_trained(save(tmp_path / "a.safetensors", classifier(), seed=3, defenses=["standard"]))
    assert header.about == {"seed": 3, "defenses": ["standard"]}
    assert (header.architecture, header.config, header.classes) == ("made", {"width": 4}, CLASSES)
    assert header.routes == header.choices == ("main",)


def two_routes(tmp_path: Path) -> tuple[Path, ImageClassifier, ImageClassifier]:
    """A file with two routes that differ in their normalisation alone, and the classifiers of both."""
    one, other = classifier(), classifier()
    other.network[1].running_mean += 0.3
    states = {"aux": other.network.state_dict(), "main": one.network.state_dict()}
    return save(tmp_path / "a.safetensors", one, states), one, other


def test_each_route_gives_its_own_logits_and_mean_their_mean(tmp_path: Path, context: BuildContext) -> None:
    file, one, other = two_routes(tmp_path)
    logits = {route: load_trained(file, context, route)(IMAGES) for route in ("main", "aux", "mean")}
    assert torch.equal(logits["main"], one(IMAGES)) and torch.equal(logits["aux"], other(IMAGES))
    assert not torch.equal(logits["main"], logits["aux"])
    torch.testing.assert_close(logits["mean"], (logits["main"] + logits["aux"]) / 2)
    assert read_trained(file).choices == ("main", "aux", "mean")


def test_only_the_tensors_that_differ_are_stored_twice(tmp_path: Path) -> None:
    file, one, _ = two_routes(tmp_path)
    names = set(safetensors.torch.load_file(file))
    assert names == {*one.network.state_dict(), "route:aux:1.running_mean"}


def test_a_route_that_the_file_does_not_hold_is_refused_with_those_it_holds(
    tmp_path: Path, context: BuildContext
) -> None:
    file, _, _ = two_routes(tmp_path)
    with pytest.raises(UnknownName, match="did you mean 'aux'"):
        load_trained(file, context, "axu")
    with pytest.raises(UnknownName, match=r"no route named 'mean' .* did you mean 'main'"):
        load_trained(save(tmp_path / "one.safetensors", classifier()), context, "mean")


def test_the_mean_of_routes_cannot_be_saved(tmp_path: Path, context: BuildContext) -> None:
    file, _, _ = two_routes(tmp_path)
    with pytest.raises(ClassifierError, match="open one of them with route=main"):
        save(tmp_path / "b.safetensors", load_trained(file, context, "mean"))


def test_that_a_result_could_be_opened_is_known_before_the_training(tmp_path: Path, context: BuildContext) -> None:
    check_can_be_saved(classifier(), context)
    check_can_be_saved(classifier(architecture=None, config=None), context)
    with pytest.raises(ClassifierError, match=r"another network than its description builds.*of another shape"):
        check_can_be_saved(classifier(config={"width": 5}), context)
    with pytest.raises(PluginError, match="'closed' builds no networks again"):
        check_can_be_saved(classifier(architecture="closed"), context)
    file, _, _ = two_routes(tmp_path)
    with pytest.raises(ClassifierError, match="open one of them with route=main"):
        check_can_be_saved(load_trained(file, context, "mean"), context)


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ({"aux": {}}, "must be 'main'"),
        ({"main": {}, "mean": {}}, "named a route 'mean'"),
        ({"main": {}, "Aux:": {}}, "named a route 'Aux:'"),
        ({"main": {"a": torch.zeros(1)}, "aux": {"b": torch.zeros(1)}}, "differ in their tensors"),
    ],
)
def test_routes_that_could_not_be_opened_are_a_defenses_mistake(
    tmp_path: Path, routes: Mapping[str, Mapping[str, Tensor]], message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        save(tmp_path / "a.safetensors", classifier(), routes)
    assert not list(tmp_path.iterdir())


def test_a_network_from_own_code_is_opened_with_that_code_alone(tmp_path: Path, context: BuildContext) -> None:
    one = classifier(architecture=None, config=None)
    file = save(tmp_path / "a.safetensors", one)
    with pytest.raises(WeightsError, match=r"name the code with network="):
        load_trained(file, context)
    own = network({"width": 4})
    opened = load_trained(file, context, network=own)
    assert torch.equal(opened(IMAGES), one(IMAGES)) and opened.architecture is opened.config is None
    assert not torch.equal(own[0].weight, one.network[0].weight), "the given network is not changed"
    with pytest.raises(WeightsError, match="do not fit"):
        load_trained(file, context, network=network({"width": 5}))


def test_tensors_that_share_memory_are_saved(tmp_path: Path, context: BuildContext) -> None:
    one = classifier()
    one.network[1].bias = nn.Parameter(one.network[1].weight)
    one.network[1].bias.data = one.network[1].weight.data
    opened = load_trained(save(tmp_path / "a.safetensors", one), context)
    assert torch.equal(opened(IMAGES), one(IMAGES))


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(tmp_path / "a.safetensors", classifier())
    before = file.read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WeightsError, match=r"cannot write .*a\.safetensors: No space left on device"):
        save(file, classifier(1))
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def forge(file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change a file's header and keep its tensors."""
    header = json.loads(read_metadata(file)["granu"])
    change(header)
    safetensors.torch.save_file(safetensors.torch.load_file(file), file, metadata={"granu": json.dumps(header)})
    return file


def change_preprocessing(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header["preprocessing"].update(values)


def change_header(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header.update(values)


CROPPING = {"size": [6, 6], "box": [6, 6], "mode": "bicubic", "squash": False}
FORGED = [
    ("no preprocessing", change_header(preprocessing=None)),
    ("channels other than", change_preprocessing(channels=2)),
    ("channels other than", change_preprocessing(channels=True)),
    ("a fit other than", change_preprocessing(fit="stretch")),
    ("no 'named'", change_preprocessing(named="yes")),
    ("a size that is not two", change_preprocessing(size=[6, 100_000])),
    ("a size that is not two", change_preprocessing(size=[0, 6])),
    ("a mean that is not one number", change_preprocessing(mean=[0.1, 0.2])),
    ("a std that is not positive", change_preprocessing(std=[0.0])),
    ("a std that is not one number", change_preprocessing(std=[float("nan")])),
    ("a cropping without a size", change_preprocessing(cropping=3)),
    ("a cropping without mode", change_preprocessing(cropping={**CROPPING, "mode": 3})),
    ("a crop larger than its box", change_preprocessing(cropping={**CROPPING, "box": [5, 6]})),
    ("a box that is not two", change_preprocessing(cropping={**CROPPING, "box": [6, 100_000]})),
    ("no routes that begin with 'main'", change_header(routes=["aux", "main"])),
    ("no routes that begin with 'main'", change_header(routes=["main", "aux", "aux"])),
    ("no names of at least two", change_header(classes=["cat"])),
]


@pytest.mark.parametrize(("message", "change"), FORGED)
def test_a_forged_header_is_refused_before_torch_is_needed(
    tmp_path: Path, message: str, change: Callable[[dict[str, Any]], None]
) -> None:
    file = forge(save(tmp_path / "a.safetensors", classifier()), change)
    with pytest.raises(WeightsError, match=f"is damaged: it states {message}"):
        read_trained(file)


def test_a_header_whose_config_is_no_object_is_refused(tmp_path: Path) -> None:
    file = forge(save(tmp_path / "a.safetensors", classifier()), change_header(config=[1]))
    with pytest.raises(WeightsError, match=r"the granu header of .* does not parse"):
        read_trained(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_header(architecture="unknown"), "which no installed plugin offers"),
        (change_header(architecture="closed"), "which rebuilds no networks"),
        (change_header(config={"width": 5}), "do not fit its architecture"),
        (change_header(config={"width": 10**12}), "more parameters than the file holds|do not fit"),
        (change_header(config={"depth": 5}), "unknown config"),
        (change_header(routes=["main", "aux"], classes=["cat", "dog"]), None),
    ],
)
def test_a_forged_network_is_refused_before_its_memory_is_allocated(
    tmp_path: Path, context: BuildContext, change: Callable[[dict[str, Any]], None], message: str | None
) -> None:
    file = forge(save(tmp_path / "a.safetensors", classifier()), change)
    if message is None:  # found when it is used: the output has another shape
        with pytest.raises(GranuError):
            load_trained(file, context)(IMAGES)
        return
    with pytest.raises(WeightsError, match=message):
        load_trained(file, context)


def test_weights_of_something_else_are_no_trained_classifier(tmp_path: Path, context: BuildContext) -> None:
    file = forge(save(tmp_path / "a.safetensors", classifier()), lambda header: header.pop("preprocessing"))
    with pytest.raises(WeightsError, match="holds no trained classifier"):
        load_trained(file, context)


def endless(tensor: Callable[[int], nn.Module]) -> nn.Module:
    """A network that a forged depth would make fill the memory."""
    return nn.Sequential(*(tensor(i) for i in itertools.count()))


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("on_meta", [True, False])
def test_a_network_that_grows_beyond_the_file_is_stopped(size: int, on_meta: bool) -> None:
    def build() -> nn.Module:
        if not on_meta:
            torch.ones(1).item()  # as some networks do, which cannot be built without memory
        try:
            return endless(lambda i: nn.Linear(size, size))
        except Exception as problem:
            raise AssertionError("code that builds a network must not catch this") from problem

    state = nn.Linear(2, 2).state_dict()
    with pytest.raises(WeightsError, match=r"mine describes a network with more parameters than the file holds"):
        build_strictly(build, state, Path("mine"))
    nn.Linear(3000, 3000)  # other networks are not limited


def test_a_network_of_other_shapes_is_refused_before_it_has_memory(tmp_path: Path) -> None:
    def build() -> nn.Module:
        layer = nn.Linear(3, 2)
        assert layer.weight.is_meta, "it was built with memory"
        return layer

    with pytest.raises(WeightsError, match="do not fit"):
        build_strictly(build, nn.Linear(4, 2).state_dict(), tmp_path)


def test_numbers_that_no_network_can_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"mine describes a network that cannot be built: in_channels must be"):
        build_strictly(lambda: nn.Conv2d(3, 4, 3, groups=2), {}, Path("mine"))


def test_a_network_that_computes_while_it_is_built_is_loaded(tmp_path: Path) -> None:
    def build() -> nn.Module:
        return nn.Linear(int(torch.tensor(3.0).item()), 2)

    state = nn.Linear(3, 2).state_dict()
    assert torch.equal(build_strictly(build, state, tmp_path).state_dict()["weight"], state["weight"])
    with pytest.raises(WeightsError, match="do not fit"):
        build_strictly(build, nn.Linear(4, 2).state_dict(), tmp_path)
