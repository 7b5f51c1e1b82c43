"""Classifiers of timm equal timm's networks; missing ones are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from granu import ClassifierError, OptionError, UnknownName, WeightsError
from granu.images.classifier import ImageClassifier
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.testing import contracts


def build(spec: str) -> ImageClassifier:
    return BuildContext(load_catalog()).build("classifier", spec)


@pytest.fixture
def weights(timm: object, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet", pretrained=False)  # type: ignore[attr-defined]
    safetensors.torch.save_file(network.state_dict(), tmp_path / "mine.safetensors")
    torch.save({"state_dict": network.state_dict()}, tmp_path / "mine.pth")
    return tmp_path


@pytest.mark.parametrize("file", ["mine.safetensors", "mine.pth"])
def test_logits_equal_those_of_timm(timm: object, weights: Path, file: str) -> None:
    classifier = build(f"timm:test_efficientnet,weights={weights / file}")
    network = timm.create_model("test_efficientnet", checkpoint_path=str(weights / "mine.safetensors")).eval()  # type: ignore[attr-defined]
    data = timm.data.resolve_model_data_config(network)  # type: ignore[attr-defined]
    images = torch.rand(2, *data["input_size"])
    mean, std = (torch.tensor(data[key])[:, None, None] for key in ("mean", "std"))
    torch.testing.assert_close(classifier(images), network((images - mean) / std))
    assert classifier.classes[0] == "n01440764" and len(set(classifier.classes)) == 1000
    contracts.check_classifier(classifier, torch.rand(2, 3, 50, 70))


def test_wrong_weights_and_classes_are_refused(timm: object, weights: Path) -> None:
    with pytest.raises(WeightsError, match="do not fit"):
        build(f"timm:test_resnet,weights={weights / 'mine.safetensors'}")
    with pytest.raises(WeightsError, match="of another shape"):
        build(f"timm:test_efficientnet,weights={weights / 'mine.safetensors'},classes=cat+dog")
    torch.save([1, 2], weights / "list.pth")
    with pytest.raises(WeightsError, match="holds no state dict"):
        build(f"timm:test_efficientnet,weights={weights / 'list.pth'}")
    (weights / "no.pth").write_bytes(b"no")
    with pytest.raises(WeightsError, match="is neither a file of torch.save"):
        build(f"timm:test_efficientnet,weights={weights / 'no.pth'}")
    with pytest.raises(UnknownName, match="did you mean 'resnet50'"):
        build("timm:resnet5O")


def test_missing_weights_are_reported_with_the_download_command(timm: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> object:
        raise OSError("offline")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(WeightsError, match=r"hf download timm/resnet18\.a1_in1k"):
        build("timm:resnet18.a1_in1k")


def test_a_missing_name_or_package_is_reported_when_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = load_catalog()

    def plan(spec: str) -> None:
        make_plan(catalog, BuildContext(catalog), Request(("pixel:l2",), (spec,), judges=(), data="stylegan"))

    with pytest.raises(OptionError, match="names no model"):
        plan("timm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ClassifierError, match=r"granu\[timm\]"):
        plan("timm:resnet18")
