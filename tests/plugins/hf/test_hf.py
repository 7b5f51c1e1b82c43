"""Classifiers of transformers equal the network behind its processor; missing ones are reported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch

from granu import ClassifierError, OptionError, WeightsError
from granu.images.classifier import ImageClassifier
from granu.images.cropping import Cropping
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.testing import contracts
from granu_hf.processing import read_cropping


@pytest.mark.parametrize(
    ("processor", "cropping"),
    [
        ({"size": 224}, Cropping((224, 224), (224, 224), "bilinear", squash=True)),
        ({"size": {"height": 32, "width": 48}, "resample": 3}, Cropping((32, 48), (32, 48), "bicubic", squash=True)),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
            Cropping((224, 224), (256, 256), "bilinear"),
        ),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, Cropping((224, 224), (256, 256), "bilinear")),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, Cropping((384, 384), (384, 384), "bilinear")),
    ],
)
def test_sizes_as_processors_write_them(processor: dict[str, object], cropping: Cropping) -> None:
    assert read_cropping(processor, "it") == cropping


def test_a_processor_without_a_size_is_refused() -> None:
    with pytest.raises(ClassifierError, match="has no size"):
        read_cropping({"do_normalize": True}, "hf:it")


@pytest.fixture
def folder(transformers: ModuleType, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8],
        depths=[1, 1],
        layer_type="basic",
        id2label={0: "cat", 1: "dog", 2: "eel"},
        label2id={"cat": 0, "dog": 1, "eel": 2},
    )
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    numbers = {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(numbers))
    return tmp_path


def build(spec: str) -> ImageClassifier:
    return BuildContext(load_catalog()).build("classifier", spec)


def test_logits_and_class_names_equal_those_of_transformers(transformers: ModuleType, folder: Path) -> None:
    classifier = build(f"hf:{folder}")
    network = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    images = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor([0.5, 0.4, 0.3])[:, None, None], torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    torch.testing.assert_close(classifier(images), network((images - mean) / std).logits)
    assert classifier.classes == ("cat", "dog", "eel") and classifier.named
    contracts.check_classifier(classifier, torch.rand(2, 3, 20, 30))


def test_default_labels_of_transformers_are_not_names(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["id2label"], config["label2id"]
    (folder / "config.json").write_text(json.dumps({**config, "num_labels": 3}))
    assert not build(f"hf:{folder}").named


def test_a_missing_network_is_reported_with_the_download_command(
    transformers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: object, **kwargs: object) -> object:
        raise OSError("offline")

    monkeypatch.setattr(transformers.AutoModelForImageClassification, "from_pretrained", unreachable)
    with pytest.raises(WeightsError, match="hf download someone/something"):
        build("hf:someone/something")


def test_a_missing_name_or_package_is_reported_when_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = load_catalog()

    def plan(spec: str) -> None:
        make_plan(catalog, BuildContext(catalog), Request(("pixel:l2",), (spec,), judges=(), data="stylegan"))

    with pytest.raises(OptionError, match="names no model"):
        plan("hf")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ClassifierError, match=r"granu\[hf\]"):
        plan("hf:microsoft/resnet-50")


class Forged:
    """Runs a command if it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def refused_in_one_line(spec: str) -> str:
    with pytest.raises(WeightsError) as caught:
        build(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pickled_weights_that_hold_code_are_refused_and_not_run(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"w": Forged(folder / "canary")}, folder / "pytorch_model.bin")
    refused_in_one_line(f"hf:{folder}")
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04 damaged")
    refused_in_one_line(f"hf:{folder}")
    assert not (folder / "canary").exists()


def test_code_of_a_model_is_refused_without_a_question(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.Config", "AutoModelForImageClassification": "own.Network"}
    config |= {"auto_map": own, "model_type": "own-network"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'canary')!r}, 'w')\n")

    def answer(question: str) -> str:
        raise AssertionError(question)

    monkeypatch.setattr("builtins.input", answer)
    assert "needs code from the hub, which granu does not run" in refused_in_one_line(f"hf:{folder}")
    assert not (folder / "canary").exists()


@pytest.mark.parametrize("content", ["[]", "{", "[" * 100_000])
def test_a_processor_that_is_no_object_is_refused(folder: Path, content: str) -> None:
    (folder / "preprocessor_config.json").write_text(content)
    assert "is no JSON object" in refused_in_one_line(f"hf:{folder}")
