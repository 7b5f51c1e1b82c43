"""Trained classifiers by the spec `file:`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from granu import (
    BuildContext,
    ClassifierError,
    ImageClassifier,
    OptionError,
    UnknownName,
    WeightsError,
    load_catalog,
    save_trained,
)
from granu.testing import check_classifier, check_classifier_is_saved

IMAGES = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
MODEL = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(1, 3, 5), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 24 * 24, 4))

def other():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 4))
"""


@pytest.fixture
def context() -> BuildContext:
    return BuildContext(load_catalog())


@pytest.fixture
def file(tmp_path: Path, context: BuildContext) -> Path:
    """A file with two routes, of which aux prefers the first class."""
    classifier = context.build("classifier", "zoo:mnist-lenet")
    main = classifier.network.state_dict()
    aux = {**main, "head.5.bias": main["head.5.bias"] + torch.tensor([100.0] + 9 * [0.0])}
    about = {"defenses": ["adversarial:pixel:l2"], "seed": 3, "validation": {"clean accuracy": 0.98}}
    save_trained(tmp_path / "mine.safetensors", classifier, "zoo", {"main": main, "aux": aux}, about)
    return tmp_path / "mine.safetensors"


def test_the_main_route_equals_the_classifier_that_was_saved(file: Path, context: BuildContext) -> None:
    opened = context.build("classifier", "file:mine.safetensors")
    assert torch.equal(opened(IMAGES), context.build("classifier", "zoo:mnist-lenet")(IMAGES))
    assert opened.name == "file:mine.safetensors"
    assert "mine.safetensors" in context.used_weights
    check_classifier(opened, IMAGES)


def test_routes_are_chosen_by_an_option(file: Path, context: BuildContext) -> None:
    main, aux, mean = (
        context.build("classifier", f"file:mine.safetensors,route={route}")(IMAGES) for route in ("main", "aux", "mean")
    )
    assert (aux.argmax(dim=1) == 0).all() and not (main.argmax(dim=1) == 0).all()
    torch.testing.assert_close(mean, (main + aux) / 2)


def test_it_can_be_trained_and_saved_again(file: Path, context: BuildContext) -> None:
    for route in ("main", "aux"):
        check_classifier_is_saved(context.build("classifier", f"file:mine.safetensors,route={route}"), context)


def refused(context: BuildContext, spec: str, error: type[Exception]) -> str:
    """The sentence with which a spec is refused."""
    with pytest.raises(error) as raised:
        context.check("classifier", spec)
    return str(raised.value)


def test_mistakes_are_reported_before_anything_is_built(file: Path, context: BuildContext) -> None:
    assert "write it like file:FILE.safetensors" in refused(context, "file", OptionError)
    assert "no weights 'none.safetensors'" in refused(context, "file:none.safetensors", WeightsError)
    text = refused(context, "file:mine.safetensors,route=uax", UnknownName)
    assert "no route named 'uax'" in text and "did you mean 'aux'" in text
    shipped = context.locate("mnist-lenet")
    assert "holds no trained classifier" in refused(context, f"file:{shipped}", WeightsError)
    own = "file:mine.safetensors,network=python:gone.py:build"
    assert "no file gone.py" in refused(context, own, ClassifierError)
    file.write_bytes(file.read_bytes()[:-10])
    assert "10 bytes are missing" in refused(context, "file:mine.safetensors", WeightsError)


@pytest.fixture
def own(tmp_path: Path, context: BuildContext, monkeypatch: pytest.MonkeyPatch) -> ImageClassifier:
    """A classifier of a person's own code, which lies beside the file of its weights."""
    (tmp_path / "mymodel.py").write_text(MODEL)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mymodel", raising=False)
    classifier = context.build("classifier", "python:mymodel.py:build,size=28,channels=1,classes=a+b+c+d,mean=0.5")
    save_trained(tmp_path / "own.safetensors", classifier, classifier.architecture, None, {})
    return classifier


def test_a_network_of_own_code_is_named_beside_its_weights(own: ImageClassifier, context: BuildContext) -> None:
    assert "network=python:mymodel.py:build" in refused(context, "file:own.safetensors", WeightsError)
    spec = "file:own.safetensors,network=python:mymodel.py:build"
    context.check("classifier", spec)
    opened = context.build("classifier", spec)
    assert torch.equal(opened(IMAGES), own(IMAGES)) and opened.classes == ("a", "b", "c", "d")
    with pytest.raises(WeightsError, match="do not fit"):
        context.build("classifier", "file:own.safetensors,network=python:mymodel.py:other")


def test_no_code_is_run_that_the_person_did_not_name(own: ImageClassifier, context: BuildContext) -> None:
    Path("mymodel.py").write_text("raise SystemExit('run')")
    with pytest.raises(WeightsError):
        context.build("classifier", "file:own.safetensors")


def test_info_tells_how_it_was_trained(file: Path, granu: Callable[..., Any]) -> None:
    answer = granu("info", "file:mine.safetensors", "--json")
    (about,) = json.loads(answer.stdout)
    selected = about["holds"]
    assert selected["architecture"] == "zoo" and selected["config"]["network"] == "mnist-lenet"
    assert selected["defenses"] == ["adversarial:pixel:l2"] and selected["seed"] == 3
    assert selected["routes"] == ["main", "aux", "mean"] and selected["validation"] == {"clean accuracy": 0.98}
    text = granu("info", "file:mine.safetensors").stdout
    assert "adversarial:pixel:l2" in text and "clean accuracy: 0.98" in text
    assert "holds" not in json.loads(granu("info", "file", "--json").stdout)[0]
    answer = granu("info", "file:none.safetensors")
    assert answer.returncode == 2 and "no weights 'none.safetensors'" in answer.stderr


def test_an_evaluated_classifier_is_that_of_the_file(file: Path, granu: Callable[..., Any]) -> None:
    answer = granu(
        "eval", "--classifier", "file:mine.safetensors", "--perturb", "pixel:l2,steps=2", "--count", "2",
        "--judge", "none", "--out", "run",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    (record,) = json.loads(Path("run/run.json").read_text())["classifiers"].values()
    assert record["weights"]["mine.safetensors"]
