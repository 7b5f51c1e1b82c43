"""Classifiers of transformers equal the network behind its processor; missing ones are reported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch

from granu import ClassifierError, OptionError, WeightsError, load_trained, save_trained
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

    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "no"

    monkeypatch.setattr("builtins.input", answer)
    assert "needs code from the hub, which granu does not run" in refused_in_one_line(f"hf:{folder}")
    assert not asked
    assert not (folder / "canary").exists()


@pytest.mark.parametrize("content", ["[]", "{", "[" * 100_000])
def test_a_processor_that_is_no_object_is_refused(folder: Path, content: str) -> None:
    (folder / "preprocessor_config.json").write_text(content)
    assert "is no JSON object" in refused_in_one_line(f"hf:{folder}")


@pytest.fixture
def vit(transformers: ModuleType, tmp_path: Path) -> Path:
    """A transformer with position embeddings, of one colour."""
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        num_channels=1,
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    numbers = {"size": {"height": 32, "width": 32}, "image_mean": [0.5], "image_std": [0.2]}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(numbers))
    return tmp_path / "vit"


@pytest.mark.parametrize("options", ["", ",init=random", ",classes=4", ",init=random,classes=a+b"])
def test_networks_are_trained_and_saved(folder: Path, vit: Path, options: str) -> None:
    for place in (folder, vit):
        torch.manual_seed(0)
        classifier = build(f"hf:{place}{options}")
        contracts.check_classifier(classifier, torch.rand(2, 3, 20, 30))
        contracts.check_classifier_is_saved(classifier, BuildContext(load_catalog()))
        assert str(place) not in json.dumps(classifier.config), "a path of this machine is nobody else's business"


def test_classes_keep_the_weights_but_for_the_last_layer(folder: Path) -> None:
    own, names, four = (build(f"hf:{folder}{options}") for options in ("", ",classes=a+b+c", ",classes=4"))
    assert names.classes == ("a", "b", "c") and names.named and len(four.classes) == 4 and not four.named
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(own(images), names(images))
    same = {name for name, value in own.network.state_dict().items() if value.equal(four.network.state_dict()[name])}
    assert own.network.state_dict().keys() - same == {"classifier.1.weight", "classifier.1.bias"}


def test_weights_that_do_not_fit_are_not_replaced_in_silence(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "embedding_size": 4}))
    with pytest.raises(WeightsError, match="do not fit its configuration"):
        build(f"hf:{folder},classes=4")


def test_random_weights_need_no_weights_and_are_those_of_torchs_generator(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build(f"hf:{folder},init=random").state_dict())
    first, same, other = states
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"auto_map": {"AutoModelForImageClassification": "somebody/something--model.Net"}},
            "not described by 'auto_map'",
        ),
        ({"_attn_implementation": "somebody/kernel"}, "not described by '_attn_implementation'"),
        ({"attn_implementation": "somebody/kernel"}, "not described by 'attn_implementation'"),
        ({"inner": {"quantization_config": {}}}, "not described by 'quantization_config'"),
        ({"model_type": "resnets"}, "did you mean 'resnet'"),
        ({"model_type": ["resnet"]}, "no image classifier"),
        ({"model_type": "bert"}, "no image classifier"),
        ({"model_type": "timm_wrapper"}, "open it with timm:"),
    ],
)
def test_a_forged_config_is_refused(folder: Path, change: dict[str, object], message: str) -> None:
    context = BuildContext(load_catalog())
    config = dict(build(f"hf:{folder}").config or {})
    with pytest.raises(WeightsError, match=message):
        context.catalog.find("classifier", "hf").offer.network({**config, **change}, context)  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [{"hidden_sizes": [10**9, 8]}, {"depths": [10**9, 1]}, {"depths": "deep"}])
def test_a_forged_size_is_refused_before_it_is_built(folder: Path, change: dict[str, object], tmp_path: Path) -> None:
    classifier = build(f"hf:{folder}")
    classifier.config = {**(classifier.config or {}), **change}
    save_trained(tmp_path / "forged.safetensors", classifier, "hf", None, {})
    with pytest.raises(WeightsError, match=r"more parameters than|do not fit|cannot be built"):
        load_trained(tmp_path / "forged.safetensors", BuildContext(load_catalog()))
