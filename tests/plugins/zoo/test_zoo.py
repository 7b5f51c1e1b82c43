"""The zoo offers every file in its folder; the files are intact, small and complete."""

import json
from pathlib import Path

import pytest
import torch

from granu import OptionError, UnknownName, WeightsError
from granu.plugins.catalog import Catalog, Entry
from granu.plugins.context import BuildContext
from granu.testing import check_classifier_is_saved
from granu.weights.checkpoints import read_metadata, read_weights_header, sha256
from granu_zoo import (
    ARCHITECTURES,
    CLASSIFIERS,
    FOLDER,
    ZooOptions,
    check,
    granu_classifiers,
    granu_weights,
    make,
    network,
)
from granu_zoo.networks import NETWORKS
from granu_zoo.trained_on import trained_on

FIFTEEN_MEGABYTES = 15_000_000


@pytest.fixture
def context() -> BuildContext:
    shipped = {weights.name: Entry(weights.name, weights, "zoo", "granu", "") for weights in granu_weights()}
    offers = {offer.name: Entry(offer.name, offer, "zoo", "granu", "") for offer in granu_classifiers()}
    return BuildContext(Catalog({"weights": shipped, "classifier": offers}))


def test_the_plugin_module_lists_all_files_and_architectures() -> None:
    assert {weights.file for weights in granu_weights()} == set(FOLDER.glob("*.safetensors"))
    assert set(ARCHITECTURES) == set(NETWORKS)


def test_the_weights_are_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < FIFTEEN_MEGABYTES


@pytest.mark.parametrize("weights", granu_weights(), ids=lambda weights: weights.name)
def test_shipped_weights_match_their_description(weights) -> None:
    assert sha256(weights.file) == weights.sha256
    about = json.loads(read_metadata(weights.file)["granu"])
    assert about["licence"] == weights.licence
    assert weights.name in about["recipe"]
    assert about["log"]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_opens(name: str, context: BuildContext) -> None:
    check(ZooOptions(name), context)
    classifier = make(ZooOptions(name), context)
    data = trained_on(name)
    assert classifier.classes == data.classes
    assert classifier(torch.rand(2, data.channels, 32, 32)).shape == (2, 10)
    assert read_weights_header(FOLDER / f"{name}.safetensors", ARCHITECTURES).about["log"]["clean accuracy"] > 0.8


def test_judges_have_other_architectures_than_the_classifiers() -> None:
    generator = next(weights for weights in granu_weights() if weights.classifiers)
    judged, judges = (
        {
            read_weights_header(FOLDER / f"{spec.removeprefix('zoo:')}.safetensors", ARCHITECTURES).architecture
            for spec in specs
        }
        for specs in (generator.classifiers, generator.judges)
    )
    assert len(judges) == 3 and judged.isdisjoint(judges)


def test_weights_of_a_generator_are_refused_as_a_classifier(context: BuildContext) -> None:
    with pytest.raises(WeightsError, match="holds the architecture 'stylegan2', not mnist-cnn or"):
        check(ZooOptions("stylegan-mnist"), context)


def test_a_damaged_file_is_refused(tmp_path: Path, context: BuildContext) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((FOLDER / "mnist-cnn.safetensors").read_bytes()[:-100])
    with pytest.raises(WeightsError, match="truncated"):
        check(ZooOptions(str(broken)), context)


def test_one_offer_names_all_classifiers() -> None:
    (offer,) = granu_classifiers()
    assert offer.models == tuple(CLASSIFIERS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("classes", "channels"), [(None, None), ("cat+dog+eel", 3), ("7", 1)])
def test_every_architecture_can_be_trained_from_random_weights(
    architecture: str, classes: str | None, channels: int | None, context: BuildContext
) -> None:
    options = ZooOptions(architecture, init="random", classes=classes, channels=channels)
    check(options, context)
    torch.manual_seed(0)
    classifier = make(options, context)
    names = {"cat+dog+eel": ("cat", "dog", "eel"), "7": tuple("0123456")}.get(str(classes), tuple("0123456789"))
    assert classifier.classes == names and classifier.named == ("+" in str(classes))
    assert channels in (None, classifier.channels)
    assert classifier(torch.rand(2, classifier.channels, 28, 28)).shape == (2, len(names))
    torch.manual_seed(0)
    again = make(options, context).state_dict()
    assert all(torch.equal(again[key], value) for key, value in classifier.state_dict().items())
    torch.manual_seed(1)
    other = make(options, context).state_dict()
    assert any(not torch.equal(other[key], value) for key, value in classifier.state_dict().items())
    check_classifier_is_saved(classifier, context)


def test_the_weights_of_the_zoo_can_be_trained_further(context: BuildContext) -> None:
    for name in CLASSIFIERS:
        check_classifier_is_saved(make(ZooOptions(name), context), context)


def test_random_weights_of_the_architecture_of_shipped_weights(context: BuildContext) -> None:
    trained, untrained = (make(ZooOptions("mnist-judge-l2", init=init), context) for init in ("trained", "random"))
    assert untrained.classes == trained.classes and untrained.named
    assert untrained.config == {**trained.config, "classes": 10}
    assert untrained.config["network"] == "mnist-large-kernel"
    assert not torch.equal(untrained.network.head.weight, trained.network.head.weight)


def test_an_unknown_architecture_is_named_with_the_nearest_one(context: BuildContext) -> None:
    with pytest.raises(UnknownName, match="did you mean 'cifar-resnet18'"):
        check(ZooOptions("cifar-resnet81", init="random"), context)


def test_the_resnet_has_the_standard_size_and_names(context: BuildContext) -> None:
    resnet = make(ZooOptions("cifar-resnet18", init="random"), context)
    assert sum(p.numel() for p in resnet.parameters()) == 11_173_962
    assert resnet.network.layer1(resnet.network.conv1(torch.rand(1, 3, 32, 32))).shape == (1, 64, 32, 32)
    assert resnet.network.layer4(torch.rand(1, 256, 8, 8)).shape == (1, 512, 4, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ZooOptions("cifar-resnet18"), "start from random ones with zoo:cifar-resnet18,init=random"),
        (ZooOptions("mnist-cnn", classes="cat+dog"), "start from random weights with init=random"),
        (ZooOptions("mnist-cnn", channels=3), "start from random weights with init=random"),
        (ZooOptions("mnist-cnn", init="random", channels=2), "1 for grey or 3 for colour"),
        (ZooOptions("mnist-cnn", init="random", classes="cat"), "does not name two classes"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: ZooOptions, message: str, context: BuildContext) -> None:
    with pytest.raises(OptionError, match=message):
        check(options, context)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "names no network of the zoo"),
        ({"network": ["mnist-cnn"]}, "names no network of the zoo"),
        ({"network": "mnist-cmn"}, "did you mean 'mnist-cnn'"),
        ({"network": "mnist-cnn", "widht": 3}, "no 'widht'; did you mean 'width'"),
        ({"network": "mnist-cnn", "width": 0}, "its width is not a number"),
        ({"network": "mnist-cnn", "width": True}, "its width is not a number"),
        ({"network": "mnist-cnn", "width": 10**9}, "its width is not a number"),
        ({"network": "mnist-cnn", "width": "3"}, "its width is not a number"),
    ],
)
def test_a_config_that_describes_no_network_is_refused(
    config: dict[str, object], message: str, context: BuildContext
) -> None:
    with pytest.raises(WeightsError, match=message):
        network(config, context)
