"""Users' networks: those that fit become classifiers, and common mistakes are reported with a remedy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from granu import ClassifierError, OptionError
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.testing import contracts

MODEL = """
import torch
from torch import nn
from neighbour import OUTPUTS

torch.manual_seed(0)
ready = nn.Sequential(nn.Flatten(), nn.Linear(48, OUTPUTS))

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, OUTPUTS)).train()

class Named(nn.Sequential):
    classes = ["cat", "dog", "eel", "fox", "gnu"]

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(48, OUTPUTS))

class Normalize(nn.Module):
    def forward(self, images):
        return (images - 0.5) / 0.5

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = ready

    def forward(self, images):
        from types import SimpleNamespace
        return SimpleNamespace(logits=self.inner(images))

class Restless(nn.Module):
    def forward(self, images):
        return ready(images) + torch.randn(len(images), OUTPUTS)

def probabilities():
    return nn.Sequential(ready, nn.Softmax(1))

def normalises():
    return nn.Sequential(Normalize(), ready)

def fails():
    raise RuntimeError("no weights today")

def nothing():
    return None

number = 3
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "neighbour.py").write_text("OUTPUTS = 5\n")
    (tmp_path / "mymodel.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mymodel", raising=False)
    return tmp_path / "mymodel.py"


def build(spec: str) -> ImageClassifier:
    return BuildContext(load_catalog()).build("classifier", spec)


@pytest.mark.parametrize("name", ["ready,size=4", "build", "Named,size=4", "Wrapped,size=4", "normalises,size=4"])
def test_networks_that_fit_are_classifiers(file: Path, name: str) -> None:
    classifier = build(f"python:mymodel.py:{name}")
    contracts.check_classifier(classifier, torch.rand(3, 3, 4, 4))
    assert len(classifier.classes) == 5


def test_networks_are_put_into_evaluation_mode(file: Path) -> None:
    classifier = build("python:mymodel.py:build")
    assert not any(module.training for module in classifier.network.modules())


def test_normalisation_and_resizing_are_part_of_the_classifier(file: Path) -> None:
    plain, own = build("python:mymodel.py:ready,size=4"), build("python:mymodel.py:ready,size=4,mean=0.5,std=0.25")
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(own(images), plain((images - 0.5) / 0.25))
    assert own(torch.rand(2, 1, 9, 7)).shape == (2, 5)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("Named,size=4", ("cat", "dog", "eel", "fox", "gnu")),
        ("ready,size=4", ("0", "1", "2", "3", "4")),
        ("ready,size=4,classes=a+b+c+d+e", ("a", "b", "c", "d", "e")),
        ("ready,size=4,classes=names.txt", ("p", "q", "r", "s", "t")),
    ],
)
def test_class_names(file: Path, spec: str, names: tuple[str, ...]) -> None:
    Path("names.txt").write_text("p\nq\nr\ns\nt\n")
    assert build(f"python:mymodel.py:{spec}").classes == names


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("probabilities,size=4", "returns probabilities"),
        ("Restless,size=4", "other outputs"),
        ("ready,size=4,classes=cat+dog", "5 outputs but 2 class names"),
        ("ready", "set its input size with size="),
        ("ready,size=5", "fails on images of 3 x 5 x 5"),
        ("normalises,size=4,mean=0.5", "normalises its input; remove mean= and std="),
        ("fails", "no weights today"),
        ("nothing", "not a torch.nn.Module"),
        ("number", "name a function"),
        ("bild", "did you mean 'build'"),
    ],
)
def test_mistakes_in_the_network_are_reported(file: Path, spec: str, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        build(f"python:mymodel.py:{spec}")


@pytest.mark.parametrize("options", ["size=big", "size=4,mean=0.5+0.5", "size=4,std=0"])
def test_mistakes_in_options_are_reported(file: Path, options: str) -> None:
    with pytest.raises(OptionError):
        build(f"python:mymodel.py:ready,{options}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("python", "names no callable"),
        ("python:mymodel.py", "names no callable"),
        ("python:elsewhere.py:build", "there is no file elsewhere.py"),
        ("python:no.such.module:build", "there is no module"),
        ("export", "names no file"),
        ("export:none.pt2", "there is no file none.pt2"),
        ("export:mymodel.py", "write export:mymodel.py,trust=yes if you trust its author"),
    ],
)
def test_missing_files_are_reported_when_planning(file: Path, spec: str, message: str) -> None:
    catalog = load_catalog()
    with pytest.raises(ClassifierError, match=message):
        make_plan(catalog, BuildContext(catalog), Request(("pixel:l2",), (spec,), judges=(), data="stylegan"))


def test_an_exported_program_equals_its_network(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    program = torch.export.export(network, (torch.rand(2, 3, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "network.pt2")
    images = torch.rand(3, 3, 8, 8)
    classifier = build(f"export:{tmp_path / 'network.pt2'},trust=yes,size=8")
    torch.testing.assert_close(classifier(images), network(images))
    contracts.check_classifier(classifier, images)


def test_an_exported_program_is_not_opened_without_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> object:
        raise AssertionError("opened")

    monkeypatch.setattr(torch.export, "load", opened)
    (tmp_path / "network.pt2").write_bytes(b"PK")
    for untrusted in ("", ",trust=no"):
        with pytest.raises(ClassifierError, match=r"reading it can run code in it; write .*trust=yes"):
            build(f"export:{tmp_path / 'network.pt2'}{untrusted}")


def test_an_exported_program_for_one_batch_size_is_refused(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4)).eval()
    torch.export.save(torch.export.export(network, (torch.rand(3, 3, 8, 8),)), tmp_path / "network.pt2")
    with pytest.raises(ClassifierError, match="must accept any batch size"):
        build(f"export:{tmp_path / 'network.pt2'},trust=yes,size=8")


def test_other_files_are_refused_as_exported_programs(tmp_path: Path) -> None:
    (tmp_path / "network.pt2").write_text("no")
    with pytest.raises(ClassifierError, match="cannot be read as an exported program"):
        build(f"export:{tmp_path / 'network.pt2'},trust=yes,size=8")
