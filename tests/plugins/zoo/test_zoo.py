"""The zoo offers every file in its folder; the files are intact, small and complete."""

import json
from pathlib import Path

import pytest
import torch

from granu import WeightsError
from granu.plugins.catalog import Catalog, Entry
from granu.plugins.context import BuildContext
from granu.weights.checkpoints import read_metadata, read_weights_header, sha256
from granu_zoo import ARCHITECTURES, CLASSIFIERS, FOLDER, ZooOptions, check, granu_classifiers, granu_weights
from granu_zoo.loading import make_classifier
from granu_zoo.networks import NETWORKS
from granu_zoo.trained_on import trained_on

FIFTEEN_MEGABYTES = 15_000_000


@pytest.fixture
def context() -> BuildContext:
    shipped = {weights.name: Entry(weights.name, weights, "zoo", "granu", "") for weights in granu_weights()}
    return BuildContext(Catalog({"weights": shipped}))


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
    classifier = make_classifier(name, context)
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
